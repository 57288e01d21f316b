package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"socialctl/configs"
	"socialctl/social"
)

// Options are what is not configuration.
type Options struct {
	// Version is what GET /v1/instance and the OpenAPI document show; "dev" when empty.
	Version string
	// Collectors are added to /metrics: pools, jobs, the outbox.
	Collectors []prometheus.Collector
}

// Server answers the HTTP API. It serves nothing until Run, and Handler is the whole of it for tests.
type Server struct {
	b       *social.Backend
	cfg     configs.Config
	log     *slog.Logger
	version string
	now     func() time.Time

	echo     *echo.Echo
	api      huma.API
	handler  http.Handler
	limits   limits
	metrics  *metrics
	address  echo.IPExtractor
	openapi  []byte
	draining atomic.Bool
}

// New builds the routes and the OpenAPI document and starts nothing. The error names the setting or collector at fault.
func New(b *social.Backend, cfg configs.Config, log *slog.Logger, o Options) (*Server, error) {
	adaptHuma()
	if o.Version == "" {
		o.Version = "dev"
	}
	s := &Server{b: b, cfg: cfg, log: log, version: o.Version, now: time.Now, limits: newLimits(cfg.Limits)}
	var err error
	if s.address, err = clientAddress(cfg.HTTP.TrustedProxies); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(o.Collectors); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.echo = echo.New()
	s.echo.IPExtractor = s.address
	s.api = humaecho.New(s.echo, humaConfig(o.Version))
	s.addMiddleware()
	s.addRoutes()
	if err := s.addDocs(); err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	s.handler = normalized(s.echo)
	return s, nil
}

// Handler is the API without a listener.
func (s *Server) Handler() http.Handler { return s.handler }

// normalized brings requests to the one form that the router knows: HEAD is asked as GET, of which net/http sends no
// body, and the path is routed decoded, unless that would make a slash out of %2F.
func normalized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		escaped := r.URL.RawPath != "" && !strings.Contains(strings.ToLower(r.URL.RawPath), "%2f")
		if r.Method == http.MethodHead || escaped {
			// A copy: net/http looks at the original's method to know whether a body may be sent.
			copied, url := *r, *r.URL
			if escaped {
				url.RawPath = ""
			}
			copied.URL = &url
			if copied.Method == http.MethodHead {
				copied.Method = http.MethodGet
			}
			r = &copied
		}
		next.ServeHTTP(w, r)
	})
}

// clientAddress believes X-Forwarded-For from the proxies named and from nobody else.
func clientAddress(proxies []string) (echo.IPExtractor, error) {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect(), nil
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		if !strings.Contains(p, "/") {
			if strings.Contains(p, ":") {
				p += "/128"
			} else {
				p += "/32"
			}
		}
		_, network, err := net.ParseCIDR(p)
		if err != nil {
			return nil, fmt.Errorf("http.trusted_proxies: %w", err)
		}
		trust = append(trust, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(trust...), nil
}
