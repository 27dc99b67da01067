package api

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meter counts and times requests by route, never by path: a stranger must not be able to make series.
type meter struct {
	took     *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMeter(r prometheus.Registerer) *meter {
	return &meter{
		took: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "mpcd_http_request_duration_seconds",
			Help:    "Time from the first byte of the header to the end of the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"route", "code"})),
		inFlight: register(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mpcd_http_requests_in_flight",
			Help: "Requests being answered now.",
		})),
	}
}

func (m *meter) observe(route string, status int, took time.Duration) {
	m.took.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

// register returns c, or what an earlier New registered under its name.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	err := r.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if old, ok := already.ExistingCollector.(C); ok {
			return old
		}
	}
	if err != nil {
		panic("api: metrics: " + err.Error())
	}
	return c
}
