package configs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// write puts text into a file of the test's own and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// complaintsOf loads and returns what is wrong, one line each, with the file's
// path shortened to its name.
func complaintsOf(t *testing.T, src Source) []string {
	t.Helper()
	_, err := Load(src)
	if err == nil {
		return nil
	}
	var invalid *ConfigError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %T %v, want a *ConfigError", err, err)
	}
	var lines []string
	for _, c := range invalid.Complaints {
		line := (&ConfigError{Complaints: []Complaint{c}}).Error()
		lines = append(lines, strings.ReplaceAll(line, filepath.Dir(src.File)+"/", ""))
	}
	return lines
}

func TestLoadWithoutSourcesIsDefault(t *testing.T) {
	loaded, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(loaded.Config, want) {
		t.Errorf("loaded\n%v, want\n%v", loaded.Config, want)
	}
	if !loaded.Config.IsEmbedded() {
		t.Error("the default is not embedded")
	}
	for _, e := range loaded.Entries() {
		if e.Origin != "default" || e.Doc == "" {
			t.Errorf("%s: origin %q, doc %q", e.Key, e.Origin, e.Doc)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "s.yaml", `
fanout: {workers: 5}
timeline:
  window: 500
  backfill: 50
log: {level: warn}
`)
	src := Source{
		File:  file,
		Env:   []string{"SOCIALCTL_FANOUT_WORKERS=6", "SOCIALCTL_TIMELINE_WINDOW=600", "SOCIALCTL_LOG_LEVEL=", "PATH=/bin"},
		Flags: map[string]string{"fanout.workers": "7"},
	}
	loaded, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	c := loaded.Config
	if c.Fanout.Workers != 7 || c.Timeline.Window != 600 || c.Timeline.Backfill != 50 || c.Log.Level != "warn" || c.Message.MaxLength != 2000 {
		t.Errorf("got %v", c)
	}
	for key, want := range map[string]string{
		"fanout.workers":     "flag --workers",
		"timeline.window":    "env SOCIALCTL_TIMELINE_WINDOW",
		"timeline.backfill":  file + ":5",
		"log.level":          file + ":6",
		"message.max_length": "default",
	} {
		if got := loaded.Origin[key]; got != want {
			t.Errorf("origin of %s is %q, want %q", key, got, want)
		}
	}
}

// clusterEnvironment configures two databases by variables alone.
var clusterEnvironment = []string{
	"SOCIALCTL_DATABASES_A_DSN=u:p1@tcp(db1:3306)/",
	"SOCIALCTL_DATABASES_EU_WEST_DSN=u:p2@tcp(db2:3306)/",
	"SOCIALCTL_DATABASES_EU_WEST_MAX_CONNS=9",
	"SOCIALCTL_META_DATABASE=eu_west",
	"SOCIALCTL_REDIS_ADDRS=r1:6379, r2:6379,",
}

func TestClusterByEnvironment(t *testing.T) {
	loaded, err := Load(Source{Env: clusterEnvironment})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Database{
		"a":       {DSN: "u:p1@tcp(db1:3306)/", MaxConns: 64},
		"eu_west": {DSN: "u:p2@tcp(db2:3306)/", MaxConns: 9},
	}
	if got := loaded.Config.Databases; !reflect.DeepEqual(got, want) {
		t.Errorf("databases %#v, want %#v", got, want)
	}
	if got, want := loaded.Config.Redis.Addrs, []string{"r1:6379", "r2:6379"}; !reflect.DeepEqual(got, want) {
		t.Errorf("redis.addrs %q, want %q", got, want)
	}
}

func TestVariableOfAnotherOverridesOneKeyOfADatabase(t *testing.T) {
	file := write(t, "s.yaml", `
databases: {a: {dsn: "u:p@tcp(h:1)/", max_conns: 8}}
meta: {database: a}
redis: {addrs: ["r:1"]}
`)
	loaded, err := Load(Source{File: file, Env: []string{"SOCIALCTL_DATABASES_A_DSN=u:q@tcp(h:1)/"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := loaded.Config.Databases["a"], (Database{DSN: "u:q@tcp(h:1)/", MaxConns: 8}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEveryKindOfValue(t *testing.T) {
	file := write(t, "s.yaml", `
http:
  cors_origins: ["https://app.example", "http://localhost:3000"]
  trusted_proxies: 10.0.0.0/8, ::1
  body_limit: 2MiB
  request_timeout: 1m30s
timeline: {comments: true, on_unfollow: keep}
limits: {signup: 5/d, write: 10 / 30s}
session: {ttl: 1d12h}
redis: {password: 12345}
`)
	loaded, err := Load(Source{File: file})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.HTTP.CORSOrigins = []string{"https://app.example", "http://localhost:3000"}
	want.HTTP.TrustedProxies = []string{"10.0.0.0/8", "::1"}
	want.HTTP.BodyLimit = 2 << 20
	want.HTTP.RequestTimeout = 90 * time.Second
	want.Timeline.Comments, want.Timeline.OnUnfollow = true, "keep"
	want.Limits.Signup = Rate{Requests: 5, Per: 24 * time.Hour}
	want.Limits.Write = Rate{Requests: 10, Per: 30 * time.Second}
	want.Session.TTL = 36 * time.Hour
	want.Redis.Password = "12345"
	if !reflect.DeepEqual(loaded.Config, want) {
		t.Errorf("got\n%v, want\n%v", loaded.Config, want)
	}
}

func TestComplaintsComeAtOnceWithTheirPlace(t *testing.T) {
	file := write(t, "s.yaml", `http:
  adr: 127.0.0.1:80
  body_limit: big
timeline: {on_unfollow: maybe}
timeline: {window: 1}
redis: [a]
databases:
  A: {dsn: x}
  b:
fanout: {workers: {a: b}}
"we\nird": 1
http.addr: :80
`)
	got := complaintsOf(t, Source{
		File:  file,
		Env:   []string{"SOCIALCTL_REDIS_ADRS=r:1", "SOCIALCTL_TIMELINE_COMMENTS=perhaps", "SOCIALCTL_SESSION_TTL=-5m"},
		Flags: map[string]string{"log.level": "loud"},
	})
	want := []string{
		"s.yaml:2: http.adr: unknown key; did you mean http.addr?",
		`s.yaml:3: http.body_limit: "big": want a number of bytes, such as 65536, 64KiB or 1MiB`,
		`s.yaml:4: timeline.on_unfollow: "maybe": want remove, keep`,
		"s.yaml:5: timeline: given before, in line 4",
		"s.yaml:6: redis: want keys with values",
		"s.yaml:8: databases.A: a database's name has lower-case letters, digits and _, begins with a letter, and has 32 characters at most",
		"s.yaml:10: fanout.workers: want one value",
		`s.yaml:11: "we\nird": unknown key`,
		"s.yaml:12: http.addr: unknown key",
		"env SOCIALCTL_REDIS_ADRS: unknown variable; did you mean SOCIALCTL_REDIS_ADDRS?",
		`env SOCIALCTL_TIMELINE_COMMENTS: timeline.comments: "perhaps": want true or false`,
		"databases.b.dsn: is missing",
		"meta.database: is missing: name the one of databases that carries the meta schema",
		"redis.addrs: is missing: with databases, every process shares one Redis",
		"env SOCIALCTL_SESSION_TTL: session.ttl: -5m: want 1m to 3650d",
		`flag --log-level: log.level: "loud": want debug, info, warn, error`,
	}
	seen := map[string]bool{}
	for _, line := range got {
		seen[line] = true
	}
	for _, line := range want {
		if !seen[line] {
			t.Errorf("not said: %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("said %d things, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
}

func TestFilesThatAreNoConfiguration(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"syntax":        {"http:\n  addr: [\n", "s.yaml:"},
		"two documents": {"data: a\n---\ndata: b\n", "a second document"},
		"a list":        {"- a\n", "s.yaml:1: want keys with values"},
		"an anchor":     {"redis: {password: *hunter2}\n", "needs quotes"},
		"inside itself": {"http: &h\n  addr: *h\n", "s.yaml:2: http.addr: want one value"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(complaintsOf(t, Source{File: write(t, "s.yaml", test.text)}), "\n")
			if !strings.Contains(got, test.want) || strings.Contains(got, "hunter2") {
				t.Errorf("got %q, want it to contain %q", got, test.want)
			}
		})
	}
	if got := complaintsOf(t, Source{File: "/nonexistent/s.yaml"}); len(got) != 1 {
		t.Errorf("a file that is not there: %q", got)
	}
	for _, empty := range []string{"", "# nothing\n", "http:\nredis:\n", "\ufeffdata: x\n"} {
		if got := complaintsOf(t, Source{File: write(t, "s.yaml", empty)}); got != nil {
			t.Errorf("%q: %q", empty, got)
		}
	}
}

func TestForeignVariablesAreLeftAlone(t *testing.T) {
	env := []string{
		"SOCIALCTL_CONFIG=x", "SOCIALCTL_TEST_MYSQL=y",
		"SOCIALCTL_SERVICE_HOST=10.0.0.1", "SOCIALCTL_SERVICE_PORT_HTTP=80", "SOCIALCTL_PORT=tcp://10.0.0.1:80",
		"SOCIALCTL_REDIS_PORT_6379_TCP_ADDR=10.0.0.2", "SOCIALCTL_REDIS_PORT_6379_TCP=tcp://10.0.0.2:6379",
	}
	if got := complaintsOf(t, Source{Env: env}); got != nil {
		t.Errorf("said %q", got)
	}
}

func TestSecretFiles(t *testing.T) {
	password := write(t, "password", "s3cret \r\n")
	loaded, err := Load(Source{Env: []string{"SOCIALCTL_REDIS_PASSWORD_FILE=" + password}})
	if err != nil {
		t.Fatal(err)
	}
	if got := loaded.Config.Redis.Password; got != "s3cret " {
		t.Errorf("password %q", got)
	}
	if got := loaded.Origin["redis.password"]; got != "env SOCIALCTL_REDIS_PASSWORD_FILE" {
		t.Errorf("origin %q", got)
	}

	dsnFile := write(t, "dsn", "u:p@tcp(h:1)/\n")
	env := append([]string{"SOCIALCTL_DATABASES_A_DSN_FILE=" + dsnFile}, clusterEnvironment[1:]...)
	if loaded, err = Load(Source{Env: env}); err != nil {
		t.Fatal(err)
	}
	if got := loaded.Config.Databases["a"].DSN; got != "u:p@tcp(h:1)/" {
		t.Errorf("dsn %q", got)
	}

	both := complaintsOf(t, Source{Env: []string{"SOCIALCTL_REDIS_PASSWORD_FILE=" + password, "SOCIALCTL_REDIS_PASSWORD=x"}})
	want := []string{"env SOCIALCTL_REDIS_PASSWORD_FILE: redis.password: given twice, here as a file and in env SOCIALCTL_REDIS_PASSWORD"}
	if !reflect.DeepEqual(both, want) {
		t.Errorf("got %q, want %q", both, want)
	}
	for _, path := range []string{"/nonexistent/password", write(t, "empty", "\n"), t.TempDir()} {
		if got := complaintsOf(t, Source{Env: []string{"SOCIALCTL_REDIS_PASSWORD_FILE=" + path}}); len(got) != 1 {
			t.Errorf("%s: said %q", path, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(string(Sample()), "http.addr", "x")
	f.Add("http: &h\n  <<: *h\n", "redis.addrs", ",,")
	f.Add("databases: {a: {dsn: \"u:p@tcp(h:1)/\"}}\nmeta: {database: a}", "databases.a.dsn", "a/b")
	f.Add("a: b\n---\n- c", "databases..", "")
	f.Add("limits: {read: 1/}\nsession: {ttl: 106751d23h}", "limits.read", "9/9")
	f.Fuzz(func(t *testing.T, file, key, value string) {
		env := "SOCIALCTL_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) + "=" + value
		loaded, err := load(Source{File: "s.yaml", Env: []string{env}, Flags: map[string]string{key: value}}, []byte(file))
		if err != nil {
			var invalid *ConfigError
			if !errors.As(err, &invalid) || len(invalid.Complaints) == 0 || err.Error() == "" {
				t.Fatalf("got %T %v, want complaints", err, err)
			}
			return
		}
		if err := loaded.Config.Validate(); err != nil {
			t.Fatalf("loaded, but not valid: %v", err)
		}
		if len(loaded.Entries()) < len(settings)-3 || loaded.Config.String() == "" {
			t.Fatal("entries are missing")
		}
	})
}
