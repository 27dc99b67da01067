package enrol

import (
	"bytes"
	"strconv"
	"strings"
	"text/template"

	"github.com/luxfi/mpcd/host"
)

// nodeYAML is what stands in the mpcd.yaml that init writes.
type nodeYAML struct {
	Cluster, Node, Listen string
	Plain                 bool // no certificate and no tokens for the API: dev alone
	Threshold             int
	Root                  string
	RouteListen           string
	Routes                []string
	URI, SoftHSMConf      string
	Initiator             string   // in dev: the key file of who signs for callers
	Keys                  string   // put before the names of the keys, where nodes share a token
	Plugin                []string // lines of hsm.plugin
}

var nodeTemplate = template.Must(template.New("mpcd.yaml").Funcs(template.FuncMap{"q": strconv.Quote}).Parse(
	`# Configuration of one node; mpcd config show --explain tells what each key means. No secret stands here.
# Relative paths are relative to this file, so its directory may be moved.
cluster: {{q .Cluster}}
node_id: {{q .Node}}
data_dir: "data"
listen: {{q .Listen}}
threshold: {{.Threshold}}
roster: "roster.json"
roster_root: {{q .Root}}
authority: "authority.json"
{{- if .Initiator}}
dev:
  initiator: {{q .Initiator}}
{{- end}}
{{- if not .Plain}}
api:
  tls:
    cert: "tls/node.crt"
    key: "tls/node.key"
  jwt:
    keys: ["api-tokens.pub"]
{{- end}}
nats:
  listen: {{q .RouteListen}}
  routes: [{{range $i, $r := .Routes}}{{if $i}}, {{end}}{{q $r}}{{end}}]
  tls:
    cert: "tls/node.crt"
    key: "tls/node.key"
    ca: "tls/ca.crt"
hsm:
  uri: {{q .URI}}
{{- if .Keys}}
  cosign_key: {{printf "%scosign" .Keys | q}}
  attest_key: {{printf "%sattest" .Keys | q}}
  vault_key: {{printf "%svault" .Keys | q}}
{{- end}}
{{- if .Plugin}}
  plugin:
{{- range .Plugin}}
    {{.}}
{{- end}}
{{- end}}
{{- if .SoftHSMConf}}
  softhsm_conf: {{q .SoftHSMConf}}
{{- end}}
`))

func (n nodeYAML) render() []byte {
	var b bytes.Buffer
	if err := nodeTemplate.Execute(&b, n); err != nil {
		panic(err) // our own template and type
	}
	return b.Bytes()
}

// NodeURI puts the node's name into a URI.
func NodeURI(uri, name string) string { return strings.ReplaceAll(uri, "%n", name) }

// pluginLines are the settings of hsm.plugin that the environment of init and dev has, for the nodes that they make.
func pluginLines() []string {
	vs := host.Values{}
	vs.Environment()
	var lines []string
	for _, s := range host.Settings {
		name, ok := strings.CutPrefix(s.Key, "hsm.plugin.")
		v, set := vs[s.Key]
		switch {
		case !ok || !set:
		case s.List:
			var items []string
			for _, item := range v.List {
				items = append(items, strconv.Quote(item))
			}
			lines = append(lines, name+": ["+strings.Join(items, ", ")+"]")
		default:
			lines = append(lines, name+": "+strconv.Quote(v.Text))
		}
	}
	return lines
}
