package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"socialctl/configs"
	"socialctl/social"
)

// addresses is a log handler that hands out the addresses that Run logs.
type addresses struct {
	slog.Handler
	found chan [2]string
}

func (a addresses) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "addr" {
			a.found <- [2]string{r.Message, attr.Value.String()}
		}
		return true
	})
	return nil
}

type running struct {
	s             *Server
	main, metrics string
	stop          context.CancelFunc
	ended         chan error
}

func run(t *testing.T, s *Server) *running {
	t.Helper()
	found := make(chan [2]string, 2)
	s.log = slog.New(addresses{slog.NewTextHandler(io.Discard, nil), found})
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{s: s, stop: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx) }()
	for r.main == "" {
		select {
		case f := <-found:
			if f[0] == "listening" {
				r.main = f[1]
			} else {
				r.metrics = f[1]
			}
		case err := <-r.ended:
			t.Fatal(err)
		}
	}
	return r
}

func onFreePorts(c *configs.Config) {
	c.HTTP.Addr, c.HTTP.MetricsAddr = "127.0.0.1:0", "127.0.0.1:0"
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestRunServesAndStops(t *testing.T) {
	extra := prometheus.NewGauge(prometheus.GaugeOpts{Name: "test_extra", Help: "From outside."})
	cfg := configs.Default()
	onFreePorts(&cfg)
	s, err := New(&social.Backend{}, cfg, slog.New(slog.DiscardHandler), Options{Collectors: []prometheus.Collector{extra}})
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, s)
	if status, body := get(t, "http://"+r.main+"/v1/instance"); status != 200 || !strings.Contains(body, `"version":"dev"`) {
		t.Fatalf("%d %s", status, body)
	}
	get(t, "http://"+r.main+"/v1/a/made/up/path")
	_, exposed := get(t, "http://"+r.metrics+"/metrics")
	for _, line := range []string{
		`http_requests_total{method="GET",route="/v1/instance",status="200"} 1`,
		`http_requests_total{method="GET",route="none",status="404"} 1`,
		`http_request_duration_seconds_count{route="/v1/instance"} 1`,
		"http_requests_in_flight 0", "test_extra 0", "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(exposed, line) {
			t.Errorf("/metrics has no %s", line)
		}
	}
	if status, _ := get(t, "http://"+r.metrics+"/debug/pprof/cmdline"); status != 200 {
		t.Errorf("pprof: %d", status)
	}
	if status, _ := get(t, "http://"+r.main+"/metrics"); status != 404 {
		t.Errorf("/metrics on the main listener: %d", status)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp", r.main, time.Second); err == nil {
		t.Error("it still listens")
	}
}

func TestAStopFinishesRequests(t *testing.T) {
	s, _ := doorTest(t, onFreePorts)
	began, goOn := make(chan struct{}), make(chan struct{})
	add(s, route{"GET", "/v1/slow", "slow", tokenIgnored, classRead, 200, nil, unlimited, "slow"},
		func(ctx context.Context, _ *call, _ *struct{}) (reply, error) {
			close(began)
			select {
			case <-goOn:
				return jsonReply(200, "whole"), nil
			case <-ctx.Done():
				return reply{}, ctx.Err()
			}
		})
	r := run(t, s)
	type got struct {
		body string
		err  error
	}
	answered := make(chan got, 1)
	go func() {
		resp, err := http.Get("http://" + r.main + "/v1/slow")
		if err != nil {
			answered <- got{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answered <- got{string(body), err}
	}()
	<-began
	r.stop()
	close(goOn)
	if a := <-answered; a.err != nil || a.body != `"whole"` {
		t.Errorf("%q %v", a.body, a.err)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestAStopCutsOffAfterItsTimeoutAndSaysSo(t *testing.T) {
	s, _ := doorTest(t, func(c *configs.Config) {
		onFreePorts(c)
		c.HTTP.ShutdownTimeout = 20 * time.Millisecond
	})
	began := make(chan struct{})
	add(s, route{"GET", "/v1/stuck", "stuck", tokenIgnored, classRead, 200, nil, unlimited, "stuck"},
		func(ctx context.Context, _ *call, _ *struct{}) (reply, error) {
			close(began)
			<-ctx.Done()
			return reply{}, ctx.Err()
		})
	r := run(t, s)
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + r.main + "/v1/stuck")
		if err == nil {
			_ = resp.Body.Close()
			err = fmt.Errorf("answered %d", resp.StatusCode)
		}
		failed <- err
	}()
	<-began
	r.stop()
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Run returned %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("a request was answered that should have been cut off")
	}
}

func TestRequestTimeoutIs503(t *testing.T) {
	s, _ := doorTest(t, func(c *configs.Config) { c.HTTP.RequestTimeout = time.Millisecond })
	add(s, route{"GET", "/v1/late", "late", tokenIgnored, classRead, 200, nil, unlimited, "late"},
		func(ctx context.Context, _ *call, _ *struct{}) (reply, error) {
			<-ctx.Done()
			return reply{}, fmt.Errorf("read something: %w", ctx.Err())
		})
	add(s, route{"GET", "/v1/interrupted", "interrupted", tokenIgnored, classRead, 200, nil, unlimited, "interrupted"},
		func(ctx context.Context, _ *call, _ *struct{}) (reply, error) {
			<-ctx.Done()
			return reply{}, errors.New("interrupted (9)")
		})
	for _, path := range []string{"/v1/late", "/v1/interrupted"} {
		a := ask(t, s.Handler(), "GET", path, "")
		wantProblem(t, a, 503, social.CodeUnavailable)
		if a.header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After: %v", a.header)
		}
	}
}

func TestSlowAndLargeRequests(t *testing.T) {
	s, _ := doorTest(t, func(c *configs.Config) {
		onFreePorts(c)
		c.HTTP.ReadHeaderTimeout, c.HTTP.RequestTimeout = 50*time.Millisecond, 200*time.Millisecond
		c.HTTP.BodyLimit, c.HTTP.MaxHeaderBytes = 4096, 4096
	})
	r := run(t, s)
	raw := func(request string) string {
		t.Helper()
		conn, err := net.Dial("tcp", r.main)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.Status + " " + string(body)
	}
	head := "POST /v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	if got := raw("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "); strings.HasPrefix(got, "200") {
		t.Errorf("a header that never ends: %s", got)
	}
	if got := raw(head + "Content-Length: 100\r\n\r\n{"); !strings.HasPrefix(got, "408") || !strings.Contains(got, string(codeRequestTimeout)) {
		t.Errorf("a body that never ends: %s", got)
	}
	chunk := "1000\r\n" + strings.Repeat(" ", 4096) + "\r\n"
	if got := raw(head + "Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "0\r\n\r\n"); !strings.HasPrefix(got, "413") || !strings.Contains(got, string(codeTooLarge)) {
		t.Errorf("a chunked body that is too large: %s", got)
	}
	if got := raw("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", 20000) + "\r\n\r\n"); !strings.HasPrefix(got, "431") || !strings.Contains(got, string(codeHeaderTooLarge)) {
		t.Errorf("a header that is too large: %s", got)
	}
	for name, request := range map[string]string{
		"no HTTP":            "hello\r\n\r\n",
		"broken percent":     "GET /v1/accounts/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"no slash":           "GET foo HTTP/1.1\r\nHost: x\r\n\r\n",
		"no host":            "GET /healthz HTTP/1.1\r\n\r\n",
		"another protocol":   "GET /healthz HTTP/7.0\r\nHost: x\r\n\r\n",
		"broken header":      "GET /healthz HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
		"unknown coding":     head + "Transfer-Encoding: magic\r\n\r\n",
		"length is no count": head + "Content-Length: -1\r\n\r\n",
	} {
		if got := raw(request); !strings.HasPrefix(got, "400") || !strings.Contains(got, `"code":"malformed"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, busy := range []func(*configs.Config){
		func(c *configs.Config) { onFreePorts(c); c.HTTP.Addr = l.Addr().String() },
		func(c *configs.Config) { onFreePorts(c); c.HTTP.MetricsAddr = l.Addr().String() },
	} {
		s, _ := doorTest(t, busy)
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("Run returned %v", err)
		}
	}
}
