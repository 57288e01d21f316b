package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"socialctl/social"
)

// tokenUse says what a route does with a token.
type tokenUse int

const (
	tokenIgnored tokenUse = iota
	tokenOptional
	tokenRequired
)

// option is what else is particular to a route.
type option int

const (
	etagged   option = 1 << iota // the answer has an ETag and may be a 304
	keyed                        // takes an Idempotency-Key
	may202                       // answers 202 while the other person's shard is away
	may200                       // answers 200 where it would have answered 201
	unlimited                    // no rate limit, no version in the path
	home                         // reads the asker's home timeline
)

// route is one line of the table in routes.go.
type route struct {
	method  string
	path    string
	id      string // operation id
	token   tokenUse
	class   class
	status  int // of success
	answer  any // a value of the type of the success's body; nil for none
	options option
	summary string
}

func (r *route) has(o option) bool { return r.options&o != 0 }

// handler does the work of a route. The context has the request's deadline.
type handler[I any] func(ctx context.Context, c *call, in *I) (reply, error)

// add registers a route: huma parses and checks parameters and body by the type I and writes the OpenAPI document;
// guard does what comes before and after.
func add[I any](s *Server, r route, h handler[I]) {
	_, takesBody := reflect.TypeFor[I]().FieldByName("Body")
	op := s.operation(&r)
	op.Middlewares = huma.Middlewares{s.guard(&r, takesBody)}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		c := callOf(ctx)
		out, err := h(ctx, c, in)
		var again *social.Replay
		switch {
		case errors.As(err, &again):
			out = s.again(ctx, c, again)
		case err != nil:
			out = s.problem(ctx, c, err)
		default:
			out.tagged = r.has(etagged) && !c.query.Has("cursor") && !c.query.Has("before")
		}
		c.out = out
		return &huma.StreamResponse{Body: func(huma.Context) {}}, nil
	})
}

// guard is everything that a route has in common with the others, in the order in which a request meets it.
func (s *Server) guard(r *route, takesBody bool) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		ctx := hc.Context()
		c := callOf(ctx)
		c.route = r
		if err := s.admit(ctx, c, takesBody); err != nil {
			c.send(s.problem(ctx, c, err))
			return
		}
		if c.key.Key != "" {
			s.once(ctx, c, func() { next(silent{hc}) })
		} else {
			next(silent{hc})
		}
		c.send(c.out)
	}
}

// admit decides whether the request is looked at: form, token, rate, body.
func (s *Server) admit(ctx context.Context, c *call, takesBody bool) error {
	req := c.echo.Request()
	if !accepts(req.Header.Values("Accept")) {
		return refuse(codeNotAcceptable, "", "The API answers in application/json.")
	}
	if err := s.authenticate(ctx, c); err != nil {
		return err
	}
	if err := s.limit(c); err != nil {
		return err
	}
	if err := c.checkQuery(); err != nil {
		return err
	}
	if takesBody {
		if err := s.readBody(c); err != nil {
			return err
		}
	}
	if c.route.has(keyed) {
		return c.readKey()
	}
	return nil
}

// silent lets huma parse and check without answering: the answer is the call's, and guard sends it.
type silent struct{ humaContext }

// humaContext has another name than its method Context, so that both can be embedded.
type humaContext huma.Context

// Unwrap is how the adapter finds its own context again.
func (c silent) Unwrap() huma.Context          { return c.humaContext }
func (silent) SetStatus(int)                   {}
func (silent) SetHeader(string, string)        {}
func (silent) AppendHeader(string, string)     {}
func (silent) BodyWriter() io.Writer           { return io.Discard }
func (silent) SetReadDeadline(time.Time) error { return nil }

// accepts reports whether application/json is among what a client takes; no header takes anything.
func accepts(headers []string) bool {
	if len(headers) == 0 || len(headers) == 1 && (headers[0] == "*/*" || headers[0] == "" || headers[0] == "application/json") {
		return true
	}
	best, found := 0, false // how exactly a range names JSON, and whether it wants it
	for part := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		exact := 0
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "application/json", "application/problem+json":
			exact = 3
		case "application/*":
			exact = 2
		case "*/*":
			exact = 1
		}
		if exact == 0 || exact < best {
			continue
		}
		wanted := !isZeroQuality(params)
		found = wanted || exact == best && found
		best = exact
	}
	return found
}

func isZeroQuality(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			return value != "" && strings.Trim(value, "0.") == ""
		}
	}
	return false
}

// success is the status of an answer about a relationship: 202 while the other shard is away.
func success(r social.Relationship) int {
	if r.Pending {
		return http.StatusAccepted
	}
	return http.StatusOK
}
