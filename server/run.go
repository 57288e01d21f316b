package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// slowWriter is how long beyond the request timeout a client may take to read its answer.
const slowWriter = 30 * time.Second

// Run serves until ctx ends, then stops accepting and lets the requests in progress end, for at most
// http.shutdown_timeout. It returns nil after a stop that cut nobody off, and an error when an address cannot be
// listened on, serving failed, or requests were cut off.
func (s *Server) Run(ctx context.Context) error {
	main, err := net.Listen("tcp", s.cfg.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("listen on http.addr: %w", err)
	}
	servers := []*http.Server{s.httpServer(ctx, s.handler)}
	listeners := []net.Listener{problemListener{main}}
	if s.cfg.HTTP.MetricsAddr != "" {
		l, err := net.Listen("tcp", s.cfg.HTTP.MetricsAddr)
		if err != nil {
			_ = main.Close()
			return fmt.Errorf("listen on http.metrics_addr: %w", err)
		}
		// A profile takes as long as it was asked to take, so nothing but its header has a deadline.
		m := &http.Server{Handler: s.metrics.handler(), ReadHeaderTimeout: s.cfg.HTTP.ReadHeaderTimeout}
		servers, listeners = append(servers, m), append(listeners, l)
		s.log.Info("metrics", "addr", l.Addr().String())
	}

	group, ended := errgroup.WithContext(ctx)
	for i := range servers {
		group.Go(func() error {
			if err := servers[i].Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", listeners[i].Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ended.Done()
		s.draining.Store(true)
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.HTTP.ShutdownTimeout)
		defer cancel()
		var failed []error
		for _, srv := range servers {
			if err := srv.Shutdown(stop); err != nil {
				failed = append(failed, fmt.Errorf("requests were cut off at the stop: %w", err), srv.Close())
			}
		}
		return errors.Join(failed...)
	})
	s.log.Info("listening", "addr", main.Addr().String())
	return group.Wait()
}

func (s *Server) httpServer(ctx context.Context, h http.Handler) *http.Server {
	http1 := s.cfg.HTTP
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: http1.ReadHeaderTimeout,
		ReadTimeout:       http1.ReadHeaderTimeout + http1.RequestTimeout,
		WriteTimeout:      http1.RequestTimeout + slowWriter,
		IdleTimeout:       http1.IdleTimeout,
		MaxHeaderBytes:    http1.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// The end of ctx stops the listener; it must not cancel the requests that are to be finished.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}
