package server

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"socialctl/social"
)

// keepFor bounds the storing of an answer, which goes on when its client has gone away, and ends with its deadline.
const keepFor = 5 * time.Second

func keyUse(r *http.Request, key string, body []byte) social.KeyUse {
	return social.KeyUse{Key: key, Route: r.Method + " " + r.URL.Path, BodyHash: sha256.Sum256(body)}
}

// once runs next under the call's idempotency key: what was answered before is answered again, and what is answered
// now is kept, byte for byte.
func (s *Server) once(ctx context.Context, c *call, next func()) {
	before, err := s.b.Keys.Begin(ctx, c.viewer, c.key)
	switch {
	case err != nil:
		c.out = s.problem(ctx, c, err)
	case before != nil:
		c.out = s.again(ctx, c, before)
	default:
		next()
		if isKept(c.out) {
			s.keep(ctx, c, c.out)
		}
	}
}

// keep stores an answer under the call's key. If that fails the answer stands, and a repeat finds the message by the key.
func (s *Server) keep(ctx context.Context, c *call, out reply) {
	patience := keepFor
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := s.b.Keys.Keep(ctx, c.viewer, c.key, out.status, out.body); err != nil {
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

// again is the answer that was given before. Where a message was stored and its answer was not kept, because a server
// died between the two, the message is answered as it is now, as created unless it was there before, and that is kept.
func (s *Server) again(ctx context.Context, c *call, before *social.Replay) reply {
	if before.Status != 0 {
		out := reply{status: before.Status, body: before.Body, replayed: true}
		if out.status >= 400 {
			out.contentType = problemType
		}
		return out
	}
	m, err := s.b.Messages.Replayed(ctx, c.viewer, before)
	if err != nil {
		return s.problem(ctx, c, err)
	}
	status := http.StatusCreated
	if before.Repeated {
		status = http.StatusOK
	}
	out := messageReply(status, m)
	s.keep(ctx, c, out)
	out.replayed = true
	return out
}
