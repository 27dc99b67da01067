package host

import (
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Value is what a key is set to, and by what.
type Value struct {
	Text   string
	List   []string
	Origin string // "default", "file /etc/mpcd/mpcd.yaml:12", "env MPCD_LISTEN", "flag --listen"
	dir    string // that its paths are relative to: the file's; "" is the working directory
}

// secrets are what stands in settings where none belongs: a PIN in a URI, also as its pin-source, and an officer's identity.
var secrets = regexp.MustCompile(`(?i)(pin-source=)((?-i:file:|cred:|env:)|[^&;]*)` +
	`|(pin[-_]?(?:value|code|)(?:=|%3D))[^&;]*|(AGE-SECRET-KEY-)[0-9A-Z-]*`)

func redacted(text string) string {
	return secrets.ReplaceAllStringFunc(text, func(found string) string {
		m := secrets.FindStringSubmatch(found)
		if slices.Contains([]string{"file:", "cred:", "env:"}, m[2]) {
			return found // the source of a PIN, none itself
		}
		return m[1] + m[3] + m[4] + "[redacted]"
	})
}

// Redacted is the value as it may be shown to others.
func (v Value) Redacted() Value {
	v.Text = redacted(v.Text)
	v.List = slices.Clone(v.List)
	for i, item := range v.List {
		v.List[i] = redacted(item)
	}
	return v
}

func (v Value) String() string {
	if v.List != nil {
		return strings.Join(v.List, ",")
	}
	return v.Text
}

// Values are all settings by key, and under fileKey the configuration file that was read, if one was.
type Values map[string]Value

// fileKey is the key of what is no setting: the path of the file that was read.
const fileKey = ""

// Defaults are the values where nobody gives any.
func Defaults() Values {
	vs := Values{}
	for _, s := range Settings {
		v := Value{Text: s.Default, Origin: "default"}
		if s.List {
			v.List = []string{}
		}
		vs[s.Key] = v
	}
	return vs
}

// DefaultFile is the configuration file of a node where none is named.
const DefaultFile = "/etc/mpcd/mpcd.yaml"

// Gather gathers the values of a node: the environment over the file over defaults. A path of "" is that of the variable MPCD_CONFIG, or
// DefaultFile if it is there. It returns the variables that mean nothing, as Environment does.
func Gather(path string) (vs Values, unknown []string, err error) {
	vs = Defaults()
	if path == "" {
		path = os.Getenv("MPCD_CONFIG")
	}
	if path == "" {
		if _, err := os.Stat(DefaultFile); err == nil {
			path = DefaultFile
		}
	}
	if path != "" {
		if err := vs.File(path); err != nil {
			return nil, nil, err
		}
	}
	return vs, vs.Environment(), nil
}

// file is the configuration file that was read, "" for none.
func (vs Values) file() string {
	if v, ok := vs[fileKey]; ok {
		return v.Text
	}
	return ""
}

// above are the origins of what variables and flags give.
func (vs Values) above() map[string]string {
	out := map[string]string{}
	for key, v := range vs {
		if strings.HasPrefix(v.Origin, "env ") || strings.HasPrefix(v.Origin, "flag ") {
			out[key] = v.Origin
		}
	}
	return out
}

// noFile says that none was read.
const noFile = "no configuration file was read (--config, MPCD_CONFIG, " + DefaultFile + ")"

// Set gives the key of a setting a value from text; lists are separated by commas.
func (vs Values) Set(key, text, origin string) {
	s, ok := findSetting(key)
	if !ok {
		panic("host: no setting " + key)
	}
	v := Value{Text: text, Origin: origin}
	if s.List {
		v.Text, v.List = "", []string{}
		for _, item := range strings.Split(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				v.List = append(v.List, item)
			}
		}
	}
	vs[s.Key] = v
	for _, key := range s.For { // those of their own come after it in Settings, and in the same source win
		vs[key] = v
	}
}

// differ names the settings that are not what they are in other, but for some.
func (vs Values) differ(other Values, but ...string) (keys []string) {
	for _, s := range Settings {
		if vs[s.Key].String() != other[s.Key].String() && !slices.Contains(but, s.Key) {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

// Environment reads the variables. Those that begin with MPCD_ and mean nothing are returned, for a warning: they are likely
// misspelt, but a container platform may have put them there.
func (vs Values) Environment() (unknown []string) {
	known := map[string]bool{}
	for _, name := range otherVariables {
		known[name] = true
	}
	for _, s := range Settings {
		for _, name := range append([]string{s.Variable()}, s.Env...) {
			known[name] = true
		}
		for i := len(s.Env) - 1; i >= -1; i-- { // MPCD_… last: it wins
			name := s.Variable()
			if i >= 0 {
				name = s.Env[i]
			}
			if text, ok := os.LookupEnv(name); ok && text != "" {
				vs.Set(s.Key, text, "env "+name)
			}
		}
	}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "MPCD_") && !known[name] {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	return unknown
}
