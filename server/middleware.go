package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"socialctl/social"
)

// gzipFrom is the least size that is compressed: below it the headers cost more than is won.
const gzipFrom = 1024

// exposed are the headers that a page of another origin may read.
var exposed = []string{"Link", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "X-Request-Id", "Idempotent-Replayed", "ETag"}

// addMiddleware puts what every request passes, outermost first.
func (s *Server) addMiddleware() {
	s.echo.Pre(s.observe)
	if origins := s.cfg.HTTP.CORSOrigins; len(origins) > 0 {
		s.echo.Pre(middleware.CORSWithConfig(middleware.CORSConfig{
			AllowOrigins:  origins,
			AllowMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
			AllowHeaders:  []string{"Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Request-Id"},
			ExposeHeaders: exposed,
			MaxAge:        600,
		}))
	}
	// Level 1: a page of 10 KB costs a tenth of a millisecond, and higher levels win little on JSON.
	s.echo.Pre(middleware.GzipWithConfig(middleware.GzipConfig{Level: 1, MinLength: gzipFrom, Skipper: refusesGzip}))
	s.echo.Use(s.answerErrors)
}

func refusesGzip(c echo.Context) bool {
	for part := range strings.SplitSeq(c.Request().Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return isZeroQuality(params)
		}
	}
	return false
}

// observe gives the request its id, its deadline and its call, and counts and logs what became of it.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		began := s.now()
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()

		c, unreadable := s.newCall(e)
		h := e.Response().Header()
		h.Set("X-Request-Id", c.id)
		h.Set("X-Content-Type-Options", "nosniff")
		ctx, cancel := context.WithTimeout(context.WithValue(e.Request().Context(), callKey{}, c), s.cfg.HTTP.RequestTimeout)
		defer cancel()
		e.SetRequest(e.Request().WithContext(ctx))

		if unreadable != nil {
			c.send(s.problem(ctx, c, unreadable))
		} else if err := next(e); err != nil {
			return err
		}
		s.record(ctx, c, s.now().Sub(began))
		return nil
	}
}

// record logs and counts a request. Neither its query nor its headers are logged: they may hold cursors and tokens.
func (s *Server) record(ctx context.Context, c *call, took time.Duration) {
	status, route, method := c.echo.Response().Status, c.routeName(), c.echo.Request().Method
	s.metrics.record(route, method, status, took)
	level := slog.LevelDebug
	if status >= 500 {
		level = slog.LevelInfo
	}
	s.log.LogAttrs(ctx, level, "request", slog.String("request_id", c.id), slog.String("method", method),
		slog.String("route", route), slog.Int("status", status), slog.Int64("bytes", c.echo.Response().Size),
		slog.Duration("took", took), slog.String("account", c.viewer.UserID.String()))
}

// answerErrors turns what echo refuses, and panics, into problems.
func (s *Server) answerErrors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) (err error) {
		c := callOf(e.Request().Context())
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			if err == nil {
				return
			}
			ctx := e.Request().Context()
			out := s.problem(ctx, c, s.refusalOf(e, err))
			err = nil
			if !e.Response().Committed {
				c.send(out)
			}
		}()
		return next(e)
	}
}

// refusalOf names echo's own errors, which are those of its router.
func (s *Server) refusalOf(e echo.Context, err error) error {
	he, ok := err.(*echo.HTTPError)
	if !ok {
		return err
	}
	switch he.Code {
	case http.StatusNotFound:
		return refuse(social.CodeNotFound, "", "There is nothing at this path.")
	case http.StatusMethodNotAllowed:
		e.Response().Header().Set("Allow", s.allowed(e.Request().URL.EscapedPath()))
		return refuse(codeMethodNotAllowed, "", "The path does not know the method "+printable(e.Request().Method)+".")
	}
	return err
}

// printable keeps a method, which any client may invent, short and plain.
func printable(method string) string {
	if len(method) > 20 {
		return method[:20] + "…"
	}
	return method
}

// allowed lists the methods of every route that a path matches; echo's own list stops at the best match.
func (s *Server) allowed(path string) string {
	parts := strings.Split(path, "/")
	found := map[string]bool{http.MethodOptions: true}
	for _, r := range s.echo.Routes() {
		pattern := strings.Split(r.Path, "/")
		match := len(pattern) == len(parts)
		for i := 0; match && i < len(parts); i++ {
			match = pattern[i] == parts[i] || strings.HasPrefix(pattern[i], ":") && parts[i] != ""
		}
		if match {
			found[r.Method] = true
			if r.Method == http.MethodGet {
				found[http.MethodHead] = true
			}
		}
	}
	var list []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if found[m] {
			list = append(list, m)
		}
	}
	return strings.Join(list, ", ")
}
