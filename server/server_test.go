package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/social"
)

// doorTest is a server in front of an empty backend: for what is decided before the domain is asked.
func doorTest(t *testing.T, change func(*configs.Config)) (*Server, *bytes.Buffer) {
	t.Helper()
	cfg := configs.Default()
	if change != nil {
		change(&cfg)
	}
	var logged bytes.Buffer
	s, err := New(&social.Backend{}, cfg, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})), Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s, &logged
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request; headers come in pairs.
func ask(t *testing.T, h http.Handler, method, path, body string, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// wantProblem checks that an answer is the problem of a code, whole and documented.
func wantProblem(t *testing.T, a answer, status int, code social.Code) Problem {
	t.Helper()
	var p Problem
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != problemType {
		t.Fatalf("content type %q: %s", got, a.body)
	}
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if p.Code != string(code) || p.Status != status || p.Type != "/docs/errors/"+string(code) || p.Title == "" || p.Detail == "" ||
		p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") || p.Errors == nil {
		t.Fatalf("want code %s in a whole problem: %s", code, a.body)
	}
	return p
}

func TestRefusedAtTheDoor(t *testing.T) {
	s, logged := doorTest(t, func(c *configs.Config) { c.HTTP.BodyLimit = 2000 })
	long := `{"name":"` + strings.Repeat("x", 2000) + `","password":"12345678"}`
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               social.Code
		pointer            string
	}{
		"no such path":                {"GET", "/v1/nothing", "", nil, 404, social.CodeNotFound, ""},
		"root":                        {"GET", "/", "", nil, 404, social.CodeNotFound, ""},
		"empty account":               {"GET", "/v1/accounts/", "", nil, 404, social.CodeNotFound, ""},
		"method of a path":            {"DELETE", "/v1/instance", "", nil, 405, codeMethodNotAllowed, ""},
		"made-up method":              {"BREW", "/v1/accounts", "", nil, 405, codeMethodNotAllowed, ""},
		"post to one message":         {"POST", "/v1/messages/1-1", "{}", nil, 405, codeMethodNotAllowed, ""},
		"wants html":                  {"GET", "/v1/instance", "", []string{"Accept", "text/html"}, 406, codeNotAcceptable, ""},
		"refuses json":                {"GET", "/v1/instance", "", []string{"Accept", "*/*, application/json;q=0"}, 406, codeNotAcceptable, ""},
		"form":                        {"POST", "/v1/accounts", "name=a", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, codeMediaType, ""},
		"latin1":                      {"POST", "/v1/accounts", "{}", []string{"Content-Type", "application/json; charset=iso-8859-1"}, 415, codeMediaType, ""},
		"broken type":                 {"POST", "/v1/accounts", "{}", []string{"Content-Type", "application/json; charset"}, 415, codeMediaType, ""},
		"gzip body":                   {"POST", "/v1/accounts", "{}", []string{"Content-Encoding", "gzip"}, 415, codeMediaType, ""},
		"too large":                   {"POST", "/v1/accounts", long, nil, 413, codeTooLarge, ""},
		"no body":                     {"POST", "/v1/accounts", "", nil, 400, social.CodeMalformed, ""},
		"not json":                    {"POST", "/v1/accounts", "{name:1}", nil, 400, social.CodeMalformed, ""},
		"cut json":                    {"POST", "/v1/accounts", `{"name":"a`, nil, 400, social.CodeMalformed, ""},
		"two values":                  {"POST", "/v1/accounts", `{} {}`, nil, 400, social.CodeMalformed, ""},
		"bytes that are not text":     {"POST", "/v1/accounts", "{\"name\":\"\xff\",\"password\":\"12345678\"}", nil, 400, social.CodeMalformed, ""},
		"half a surrogate pair":       {"POST", "/v1/accounts", `{"name":"\ud83d","password":"12345678"}`, nil, 400, social.CodeMalformed, ""},
		"array":                       {"POST", "/v1/accounts", `[]`, nil, 422, social.CodeInvalid, ""},
		"null":                        {"POST", "/v1/accounts", `null`, nil, 422, social.CodeInvalid, ""},
		"unknown field":               {"POST", "/v1/accounts", `{"name":"a","password":"12345678","x/y":1}`, nil, 422, social.CodeInvalid, "/x~1y"},
		"wrong case":                  {"POST", "/v1/accounts", `{"Name":"a","password":"12345678"}`, nil, 422, social.CodeInvalid, "/name"},
		"wrong type":                  {"POST", "/v1/accounts", `{"name":1,"password":"12345678"}`, nil, 422, social.CodeInvalid, "/name"},
		"null field":                  {"POST", "/v1/accounts", `{"name":null,"password":"12345678"}`, nil, 422, social.CodeInvalid, "/name"},
		"missing field":               {"POST", "/v1/accounts", `{"name":"a"}`, nil, 422, social.CodeInvalid, "/password"},
		"path that is not text":       {"GET", "/v1/accounts/@%ff", "", nil, 400, social.CodeMalformed, ""},
		"query that is not text":      {"GET", "/v1/messages?ids=%ff", "", nil, 400, social.CodeMalformed, "/ids"},
		"query with a broken percent": {"GET", "/v1/messages?ids=%zz", "", nil, 400, social.CodeMalformed, ""},
		"query with semicolons":       {"GET", "/v1/messages?a=1;b=2", "", nil, 400, social.CodeMalformed, ""},
		"limit is a word":             {"GET", "/v1/messages/1-1/reposts?limit=ten", "", nil, 400, social.CodeMalformed, "/limit"},
		"limit is a fraction":         {"GET", "/v1/messages/1-1/reposts?limit=1.5", "", nil, 400, social.CodeMalformed, "/limit"},
		"limit is empty":              {"GET", "/v1/messages/1-1/reposts?limit=", "", nil, 400, social.CodeMalformed, "/limit"},
		"limit is 0":                  {"GET", "/v1/messages/1-1/reposts?limit=0", "", nil, 422, social.CodeInvalid, "/limit"},
		"limit is 101":                {"GET", "/v1/messages/1-1/reposts?limit=101", "", nil, 422, social.CodeInvalid, "/limit"},
		"limit is huge":               {"GET", "/v1/messages/1-1/reposts?limit=99999999999999999999", "", nil, 422, social.CodeInvalid, "/limit"},
		"limit is given twice":        {"GET", "/v1/messages/1-1/reposts?limit=1&limit=2", "", nil, 422, social.CodeInvalid, "/limit"},
		"unknown parameter":           {"GET", "/v1/messages/1-1/reposts?curser=x", "", nil, 422, social.CodeInvalid, "/curser"},
		"cursor cut to nothing":       {"GET", "/v1/messages/1-1/reposts?cursor=", "", nil, 400, social.CodeCursorInvalid, "/cursor"},
		"page with cursor":            {"GET", "/v1/messages/1-1/comments?page=0&cursor=x", "", nil, 422, social.CodeInvalid, "/cursor"},
		"page with limit":             {"GET", "/v1/messages/1-1/comments?page=0&limit=20", "", nil, 422, social.CodeInvalid, "/limit"},
		"negative page":               {"GET", "/v1/messages/1-1/comments?page=-1", "", nil, 422, social.CodeInvalid, "/page"},
		"page is a word":              {"GET", "/v1/messages/1-1/comments?page=one", "", nil, 400, social.CodeMalformed, "/page"},
		"order":                       {"GET", "/v1/messages/1-1/comments?order=random", "", nil, 422, social.CodeInvalid, "/order"},
		"no ids":                      {"GET", "/v1/accounts", "", nil, 422, social.CodeInvalid, "/ids"},
		"101 ids":                     {"GET", "/v1/accounts?ids=" + strings.Repeat("1,", 100) + "1", "", nil, 422, social.CodeInvalid, "/ids"},
		"message id":                  {"GET", "/v1/messages/abc", "", nil, 404, social.CodeNotFound, ""},
		"message id, signed":          {"GET", "/v1/messages/1--1", "", nil, 404, social.CodeNotFound, ""},
		"me without a token":          {"GET", "/v1/accounts/me", "", nil, 401, social.CodeTokenMissing, ""},
		"no token":                    {"GET", "/v1/timelines/home", "", nil, 401, social.CodeTokenMissing, ""},
		"no token, and no json":       {"POST", "/v1/messages", "{", nil, 401, social.CodeTokenMissing, ""},
		"basic":                       {"GET", "/v1/timelines/home", "", []string{"Authorization", "Basic YTpi"}, 401, social.CodeTokenInvalid, ""},
		"bearer of nothing":           {"GET", "/v1/timelines/home", "", []string{"Authorization", "Bearer "}, 401, social.CodeTokenInvalid, ""},
		"basic where it is optional":  {"GET", "/v1/messages/1-1", "", []string{"Authorization", "Basic YTpi"}, 401, social.CodeTokenInvalid, ""},
		"no problem type":             {"GET", "/docs/errors/nothing", "", nil, 404, social.CodeNotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, s.Handler(), c.method, c.path, c.body, c.headers...)
			p := wantProblem(t, a, c.status, c.code)
			if c.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer) {
				t.Errorf("errors %+v, want one at %s", p.Errors, c.pointer)
			}
			if strings.Contains(a.body, "12345678") || strings.Contains(a.body, "json:") || strings.Contains(a.body, " Go ") {
				t.Errorf("says too much: %s", a.body)
			}
			if c.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("401 without WWW-Authenticate: %v", a.header)
			}
			if c.status == 405 && a.header.Get("Allow") == "" {
				t.Errorf("405 without Allow: %v", a.header)
			}
		})
	}
	if strings.Contains(logged.String(), "level=ERROR") {
		t.Errorf("a refusal was logged as a failure:\n%s", logged)
	}
}

func TestAllowNamesEveryMethodOfThePath(t *testing.T) {
	s, _ := doorTest(t, nil)
	for path, want := range map[string]string{
		"/v1/accounts/me":         "GET, HEAD, PATCH, DELETE, OPTIONS",
		"/v1/accounts/12":         "GET, HEAD, OPTIONS",
		"/v1/messages":            "GET, HEAD, POST, OPTIONS",
		"/v1/messages/1-1/repost": "PUT, DELETE, OPTIONS",
	} {
		a := ask(t, s.Handler(), "TRACE", path, "")
		wantProblem(t, a, 405, codeMethodNotAllowed)
		if got := a.header.Get("Allow"); got != want {
			t.Errorf("%s: Allow %q, want %q", path, got, want)
		}
	}
}

// A list below an account is reached by me as by an id, though me has paths of its own.
func TestMeIsAnAccountOnEveryPath(t *testing.T) {
	s, _ := doorTest(t, nil)
	for _, path := range []string{"/v1/accounts/me", "/v1/accounts/me/followers", "/v1/accounts/me/following", "/v1/accounts/me/messages"} {
		wantProblem(t, ask(t, s.Handler(), "GET", path, ""), 401, social.CodeTokenMissing)
	}
}

func TestEveryProblemTypeIsDocumented(t *testing.T) {
	s, _ := doorTest(t, nil)
	for _, o := range outcomes {
		a := ask(t, s.Handler(), "GET", "/docs/errors/"+string(o.code), "")
		if a.status != 200 || !strings.Contains(a.body, string(o.code)) || !strings.Contains(a.body, o.title) {
			t.Errorf("%s: %d %s", o.code, a.status, a.body)
		}
		if o.status < 400 || o.title == "" || o.meaning == "" {
			t.Errorf("%s is half written: %+v", o.code, o)
		}
	}
}

func TestRequestID(t *testing.T) {
	s, _ := doorTest(t, nil)
	for given, kept := range map[string]bool{
		"abc-DEF_1.2": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, "é": false, "": false,
	} {
		got := ask(t, s.Handler(), "GET", "/healthz", "", "X-Request-Id", given).header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
	}
}

// What the domain and the shards say, and what a client is told of it.
func TestErrorsBecomeStatuses(t *testing.T) {
	s, logged := doorTest(t, nil)
	asker := social.Viewer{}
	for _, c := range []struct {
		err    error
		status int
		code   social.Code
		wait   bool
	}{
		{&social.Error{Code: social.CodeNameTaken, Message: "x"}, 409, social.CodeNameTaken, false},
		{&social.Error{Code: social.CodeSelf, Message: "x"}, 422, social.CodeSelf, false},
		{&social.Error{Code: social.CodeCredentialsInvalid, Message: "x"}, 401, social.CodeCredentialsInvalid, false},
		{&social.Error{Code: social.CodeArchiveUnavailable, Message: "x"}, 503, social.CodeArchiveUnavailable, true},
		{&social.Error{Code: social.CodeOverCapacity, Message: "x"}, 503, social.CodeOverCapacity, true},
		{&sharding.UnavailableError{Where: "a", Err: errors.New("dial tcp 10.0.0.1")}, 503, social.CodeUnavailable, true},
		{&sharding.UnknownOutcomeError{Where: "a", Err: errors.New("bad connection")}, 503, social.CodeUnavailable, true},
		{&sharding.EpochError{Shard: 1, Seen: 5, Is: 4}, 503, social.CodeUnavailable, true},
		{&sharding.NotOpenError{Shard: 1}, 503, social.CodeUnavailable, true},
		{context.DeadlineExceeded, 503, social.CodeUnavailable, true},
		{errors.New("Error 1146: table user_info"), 500, codeInternal, false},
		{&social.Error{Code: "made_up", Message: "user_info"}, 500, codeInternal, false},
	} {
		logged.Reset()
		e := s.echo.NewContext(httptest.NewRequest("GET", "/", nil), httptest.NewRecorder())
		out := s.problem(t.Context(), &call{echo: e, id: "r", viewer: asker}, fmt.Errorf("do something: %w", c.err))
		if out.status != c.status || out.code != c.code || (out.header.Get("Retry-After") != "") != c.wait {
			t.Errorf("%v: %d %s %v", c.err, out.status, out.code, out.header)
		}
		for _, secret := range []string{"10.0.0.1", "user_info", "bad connection"} {
			if strings.Contains(string(out.body), secret) {
				t.Errorf("%v says too much: %s", c.err, out.body)
			}
		}
		if (logged.Len() > 0) != (c.status == 500) {
			t.Errorf("%v logged %q", c.err, logged)
		}
	}
	if got := statusOf(social.CodeCredentialsInvalid, social.Viewer{UserID: 1}); got != 403 {
		t.Errorf("a wrong password of somebody who is logged in: %d", got)
	}
}

func TestPanicIsAProblemAndSaysNothing(t *testing.T) {
	s, logged := doorTest(t, nil)
	add(s, route{"GET", "/v1/panic", "panic", tokenIgnored, classRead, 200, nil, 0, "panics"}, func(context.Context, *call, *struct{}) (reply, error) {
		panic("secret of the house")
	})
	a := ask(t, s.Handler(), "GET", "/v1/panic", "")
	p := wantProblem(t, a, 500, codeInternal)
	if strings.Contains(a.body, "secret") {
		t.Errorf("the answer says %s", a.body)
	}
	if !strings.Contains(logged.String(), "secret of the house") || !strings.Contains(logged.String(), p.RequestID) {
		t.Errorf("the log does not have it under its request id:\n%s", logged)
	}
}

func TestHeadIsGetWithoutItsBody(t *testing.T) {
	s, _ := doorTest(t, nil)
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	get, err := http.Get(srv.URL + "/v1/instance")
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	head, err := http.Head(srv.URL + "/v1/instance")
	if err != nil {
		t.Fatal(err)
	}
	defer head.Body.Close()
	body, _ := io.ReadAll(head.Body)
	if head.StatusCode != 200 || len(body) != 0 || head.Header.Get("ETag") != get.Header.Get("ETag") || head.Header.Get("ETag") == "" {
		t.Errorf("HEAD: %d, %d bytes, %v; GET: %v", head.StatusCode, len(body), head.Header, get.Header)
	}
}

func TestETag(t *testing.T) {
	s, _ := doorTest(t, nil)
	first := ask(t, s.Handler(), "GET", "/v1/instance", "")
	tag := first.header.Get("ETag")
	if first.status != 200 || !strings.HasPrefix(tag, `"`) {
		t.Fatalf("%d, ETag %q", first.status, tag)
	}
	for header, status := range map[string]int{tag: 304, "W/" + tag: 304, `"a", ` + tag: 304, "*": 304, `"a"`: 200, "": 200, strings.Trim(tag, `"`): 200} {
		a := ask(t, s.Handler(), "GET", "/v1/instance", "", "If-None-Match", header)
		if a.status != status || (a.status == 304) != (a.body == "") || a.header.Get("ETag") != tag {
			t.Errorf("If-None-Match %s: %d with %d bytes, want %d", header, a.status, len(a.body), status)
		}
	}
}

func TestGzip(t *testing.T) {
	s, _ := doorTest(t, nil)
	for accept, want := range map[string]string{"gzip": "gzip", "gzip;q=0": "", "br, gzip;q=0.5": "gzip", "": ""} {
		if got := ask(t, s.Handler(), "GET", "/openapi.json", "", "Accept-Encoding", accept).header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q, want %q", accept, got, want)
		}
	}
	if got := ask(t, s.Handler(), "GET", "/healthz", "", "Accept-Encoding", "gzip").header.Get("Content-Encoding"); got != "" {
		t.Errorf("a few bytes were compressed: %q", got)
	}
}

func TestCORS(t *testing.T) {
	s, _ := doorTest(t, func(c *configs.Config) { c.HTTP.CORSOrigins = []string{"https://app.example"} })
	a := ask(t, s.Handler(), "OPTIONS", "/v1/messages", "", "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key") {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	a = ask(t, s.Handler(), "GET", "/v1/nothing", "", "Origin", "https://app.example")
	for _, h := range []string{"Link", "RateLimit-Remaining", "Retry-After", "X-Request-Id", "Idempotent-Replayed"} {
		if !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), h) {
			t.Errorf("%s is not exposed: %v", h, a.header)
		}
	}
	if a = ask(t, s.Handler(), "GET", "/v1/instance", "", "Origin", "https://other.example"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin is let in: %v", a.header)
	}
}

func TestDocsLoadNothingFromElsewhere(t *testing.T) {
	s, _ := doorTest(t, nil)
	for _, path := range []string{"/docs", "/docs/docs.js", "/docs/docs.css", "/docs/errors"} {
		a := ask(t, s.Handler(), "GET", path, "", "Accept", "text/html")
		if a.status != 200 || strings.Contains(a.body, "//cdn") || strings.Contains(a.body, "https://") {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

func TestHealthNeedsNoBackend(t *testing.T) {
	s, _ := doorTest(t, nil)
	if a := ask(t, s.Handler(), "GET", "/healthz", ""); a.status != 200 || a.body != `{"status":"ok"}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.draining.Store(true)
	a := ask(t, s.Handler(), "GET", "/readyz", "")
	wantProblem(t, a, 503, social.CodeUnavailable)
	if a.header.Get("Retry-After") == "" {
		t.Errorf("503 without Retry-After: %v", a.header)
	}
}

func TestTokensAreNotLogged(t *testing.T) {
	s, logged := doorTest(t, nil)
	ask(t, s.Handler(), "GET", "/v1/timelines/home?cursor=CURSORSECRET", "", "Authorization", "Basic TOKENSECRET")
	if !strings.Contains(logged.String(), "/v1/timelines/home") {
		t.Errorf("the request is not logged:\n%s", logged)
	}
	if strings.Contains(logged.String(), "SECRET") {
		t.Errorf("the log has what it must not have:\n%s", logged)
	}
}

// BenchmarkServePage is a page of 20 messages through everything but the domain, without a network.
func BenchmarkServePage(b *testing.B) {
	cfg := configs.Default()
	cfg.Limits.Read.Requests = 1 << 40
	s, err := New(&social.Backend{}, cfg, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		b.Fatal(err)
	}
	page := samplePage()
	add(s, route{"GET", "/v1/page", "page", tokenIgnored, classRead, 200, nil, etagged, "A page"},
		func(_ context.Context, c *call, _ *PageInput) (reply, error) { return messagePage(c, page), nil })
	for _, accept := range []string{"identity", "gzip"} {
		b.Run(accept, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", "/v1/page?limit=20", nil)
				r.Header.Set("Accept-Encoding", accept)
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				if w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
