package server

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"socialctl/social"
	"socialctl/social/copies"
)

// call is one request as it is worked on.
type call struct {
	server     *Server
	echo       echo.Context
	id         string // request id
	query      url.Values
	route      *route // nil outside the API
	viewer     social.Viewer
	tokenUsed  bool
	prefetched *copies.Prefetched // of a route that reads home
	body       []byte
	key        social.KeyUse
	out        reply
}

type callKey struct{}

// callOf is the call of a request's context; every request has one.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// routeName is the route's pattern, for logs and metrics: bounded in number, whatever is asked for.
func (c *call) routeName() string {
	if c.route != nil {
		return c.route.path
	}
	if p := c.echo.Path(); p != "" {
		return p
	}
	return "none"
}

// newCall takes what is outside of routes from a request. The error says that its path or query cannot be read.
func (s *Server) newCall(e echo.Context) (*call, error) {
	r := e.Request()
	c := &call{server: s, echo: e, id: r.Header.Get("X-Request-Id")}
	if !isRequestID(c.id) {
		c.id = rand.Text()
	}
	if !utf8.ValidString(r.URL.Path) {
		return c, refuse(social.CodeMalformed, "", "The path is not UTF-8.")
	}
	if r.URL.RawQuery == "" {
		return c, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return c, refuse(social.CodeMalformed, "", "The query cannot be read: percent signs need two hexadecimal digits, and parameters are separated by &.")
	}
	for name, values := range query {
		if !utf8.ValidString(name) {
			return c, refuse(social.CodeMalformed, "", "The query is not UTF-8.")
		}
		for _, v := range values {
			if !utf8.ValidString(v) {
				return c, refuse(social.CodeMalformed, "/"+name, "The query is not UTF-8.")
			}
		}
	}
	c.query = query
	return c, nil
}

// isRequestID accepts ids of 1 to 64 characters that are harmless in a log.
func isRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		b := id[i]
		if (b < '0' || b > '9') && (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && b != '-' && b != '_' && b != '.' {
			return false
		}
	}
	return true
}

// manyValued are the parameters that are lists, with commas or repeated.
var manyValued = map[string]bool{"ids": true, "kind": true}

// checkQuery refuses what huma would overlook: a parameter given twice, or without a value.
func (c *call) checkQuery() error {
	for name, values := range c.query {
		switch {
		case len(values) > 1 && !manyValued[name]:
			return refuse(social.CodeInvalid, "/"+name, "The parameter is given more than once.")
		case values[0] != "" || name == "ids":
		case name == "cursor":
			return refuse(social.CodeCursorInvalid, "/cursor", "The cursor is empty.")
		case name == "limit", name == "page", name == "before":
			return refuse(social.CodeMalformed, "/"+name, "The parameter has no value.")
		default:
			return refuse(social.CodeInvalid, "/"+name, "The parameter has no value.")
		}
	}
	return nil
}

// readKey takes the Idempotency-Key and what must be the same when it is used again.
func (c *call) readKey() error {
	r := c.echo.Request()
	keys, given := r.Header["Idempotency-Key"]
	if !given {
		return nil
	}
	if len(keys) != 1 || !isIdempotencyKey(keys[0]) {
		return refuse(social.CodeInvalid, "/Idempotency-Key", "The Idempotency-Key is not 1 to 255 printable ASCII characters.")
	}
	c.key = keyUse(r, keys[0], c.body)
	return nil
}

func isIdempotencyKey(key string) bool {
	if key == "" || len(key) > 255 {
		return false
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}

// authorization returns the header's token. given is whether there is a header at all.
func authorization(h http.Header) (token string, given bool, err error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", false, nil
	}
	const scheme = "Bearer "
	v := values[0]
	if len(values) > 1 || len(v) <= len(scheme) || !equalFoldASCII(v[:len(scheme)], scheme) {
		return "", true, refuse(social.CodeTokenInvalid, "", "The Authorization header is not Bearer and a token.")
	}
	return v[len(scheme):], true, nil
}

func equalFoldASCII(a, b string) bool {
	for i := range len(a) {
		if a[i]|0x20 != b[i]|0x20 {
			return false
		}
	}
	return true
}
