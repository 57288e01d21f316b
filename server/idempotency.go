package server

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"socialctl/social"
)

// keepFor bounds the storing of an answer, which goes on when its request has been given up.
const keepFor = 5 * time.Second

func keyUse(r *http.Request, key string, body []byte) social.KeyUse {
	return social.KeyUse{Key: key, Route: r.Method + " " + r.URL.Path, BodyHash: sha256.Sum256(body)}
}

// once runs next under the call's idempotency key: what was answered before is answered again, and what is answered
// now is kept, byte for byte.
func (s *Server) once(ctx context.Context, c *call, next func()) {
	before, err := s.b.Keys.Begin(ctx, c.viewer, c.key)
	if err == nil && before != nil {
		c.out, err = replayed(before)
	}
	if err != nil {
		c.out = s.problem(ctx, c, err)
		return
	}
	if before != nil {
		return
	}
	next()
	if !isKept(c.out) {
		return
	}
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer cancel()
	if err := s.b.Keys.Keep(keep, c.viewer, c.key, c.out.status, c.out.body); err != nil {
		// The answer stands. A repeat of the request finds the key in use and is told so.
		s.log.WarnContext(ctx, "an answer was not kept under its idempotency key", "request_id", c.id, "error", err)
	}
}

// isKept reports whether an answer is the one that the key has from now on: what the request brought about, or why it
// never can. Answers about the key itself, the moment or the server are not.
func isKept(out reply) bool {
	switch out.code {
	case social.CodeIdempotencyInProgress, social.CodeIdempotencyKeyReused, social.CodeRateLimited:
		return false
	}
	return !out.replayed && out.status >= 200 && out.status < 500
}

// replayed is an answer given again. One that was never kept, because the server died between storing and answering,
// has no bytes: the key is in use and that is all that can be said.
func replayed(r *social.Replay) (reply, error) {
	if len(r.Body) == 0 || r.Status == 0 {
		return reply{}, refuse(social.CodeIdempotencyInProgress, "", "The first request with this Idempotency-Key has not been answered yet.")
	}
	out := reply{status: r.Status, body: r.Body, replayed: true}
	if r.Status >= 400 {
		out.contentType = problemType
	}
	return out, nil
}
