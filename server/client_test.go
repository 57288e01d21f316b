package server

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/sharding/shardingtest"
	"socialctl/social"
)

// world is a whole system behind a listener, as a client meets it.
type world struct {
	t   *testing.T
	b   *social.Backend
	s   *Server
	url string

	ahead atomic.Int64 // how far the backend's clock is ahead, in nanoseconds
}

// eachWorld runs a test on the embedded default and on the real servers.
func eachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) { test(t, newWorld(t, p.Config(t))) })
	}
}

func embeddedWorld(t *testing.T, change func(*configs.Config)) *world {
	t.Helper()
	cfg := configs.Default()
	cfg.Data = t.TempDir()
	cfg.Limits.Enabled = false
	if change != nil {
		change(&cfg)
	}
	return newWorld(t, cfg)
}

func newWorld(t *testing.T, cfg configs.Config) *world {
	t.Helper()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w := &world{t: t}
	now := func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	b, err := social.Open(t.Context(), cfg, social.OpenOptions{Role: social.RoleServer, Log: log, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := New(b, cfg, log, Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(srv.Close)
	w.b, w.s, w.url = b, s, srv.URL
	return w
}

// client is somebody with a token, or nobody.
type client struct {
	w     *world
	token string
	id    string
	name  string
}

const password = "correct horse"

func (w *world) nobody() *client { return &client{w: w} }

// person makes an account without a password, which takes no time to hash, and logs it in.
func (w *world) person(name string) *client {
	w.t.Helper()
	id, err := w.b.Accounts.Create(w.t.Context(), name, "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	granted, err := w.b.Sessions.Grant(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return &client{w, granted.Token, id.String(), name}
}

// settle works off what is owed to other shards until done says so.
func (w *world) settle(done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			w.t.Fatal("what is owed is not done after 20 s")
		}
		if _, err := w.b.Pass(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// result is an answer as a client reads it.
type result struct {
	t      *testing.T
	status int
	header http.Header
	raw    string
	json   any
}

// do sends a request; body is JSON text or something to be written as JSON, headers come in pairs.
func (c *client) do(method, path string, body any, headers ...string) *result {
	c.w.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			c.w.t.Fatal(err)
		}
		reader = strings.NewReader(string(text))
	}
	r, err := http.NewRequestWithContext(c.w.t.Context(), method, c.w.url+path, reader)
	if err != nil {
		c.w.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.w.t.Fatal(err)
	}
	out := &result{t: c.w.t, status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(raw, &out.json); err != nil {
			c.w.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return out
}

// want is do with a status that must be.
func (c *client) want(status int, method, path string, body any, headers ...string) *result {
	c.w.t.Helper()
	r := c.do(method, path, body, headers...)
	if r.status != status {
		c.w.t.Fatalf("%s %s: %d, want %d: %s", method, path, r.status, status, r.raw)
	}
	return r
}

// refused is want with the code of a problem.
func (c *client) refused(status int, code social.Code, method, path string, body any, headers ...string) Problem {
	c.w.t.Helper()
	r := c.do(method, path, body, headers...)
	if r.status != status || !strings.Contains(r.raw, `"`+string(code)+`"`) {
		c.w.t.Fatalf("%s %s: %d, want %d %s: %s", method, path, r.status, status, code, r.raw)
	}
	return wantProblem(c.w.t, answer{r.status, r.header, r.raw}, status, code)
}

func (r *result) at(path ...string) any {
	v := r.json
	for _, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			r.t.Helper()
			r.t.Fatalf("no %v in %s", path, r.raw)
		}
		v = object[name]
	}
	return v
}

func (r *result) text(path ...string) string {
	r.t.Helper()
	s, ok := r.at(path...).(string)
	if !ok {
		r.t.Fatalf("%v is no text in %s", path, r.raw)
	}
	return s
}

func (r *result) is(path ...string) bool { return r.at(path...) == true }

func (r *result) number(path ...string) int {
	n, _ := r.at(path...).(float64)
	return int(n)
}

// items lists one field of each item.
func (r *result) items(path ...string) []string {
	r.t.Helper()
	list, ok := r.at("items").([]any)
	if !ok {
		r.t.Fatalf("no items in %s", r.raw)
	}
	out := []string{}
	for _, item := range list {
		out = append(out, (&result{t: r.t, raw: r.raw, json: item}).text(path...))
	}
	return out
}

var linkPattern = regexp.MustCompile(`<([^>]*)>; rel="(\w+)"`)

// link is the path and query of one of the answer's links, or "".
func (r *result) link(rel string) string {
	for _, m := range linkPattern.FindAllStringSubmatch(r.header.Get("Link"), -1) {
		if m[2] == rel {
			return m[1]
		}
	}
	return ""
}

func (c *client) post(content string) string {
	c.w.t.Helper()
	return c.want(201, "POST", "/v1/messages", map[string]any{"content": content}).text("id")
}

func (c *client) follow(other *client) {
	c.w.t.Helper()
	c.want(200, "PUT", "/v1/accounts/"+other.id+"/follow", nil)
}
