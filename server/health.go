package server

import (
	"context"
	"errors"
	"net/http"

	"socialctl/social"
)

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status string `json:"status"`
}

// getHealth says that the process runs; it looks at nothing, so that a database's absence restarts nobody.
func (s *Server) getHealth(context.Context, *call, *struct{}) (reply, error) {
	return jsonReply(http.StatusOK, Health{"ok"}), nil
}

// getReady says whether requests should be sent here: not while a part is away, nor during a stop.
func (s *Server) getReady(ctx context.Context, c *call, _ *struct{}) (reply, error) {
	if s.draining.Load() {
		return reply{}, refuse(social.CodeUnavailable, "", "The server is stopping.")
	}
	if err := s.b.Ready(ctx); err != nil {
		var told *social.Error
		if !errors.As(err, &told) {
			s.log.WarnContext(ctx, "not ready", "request_id", c.id, "error", err)
			err = refuse(social.CodeUnavailable, "", "A part that the server needs is away.")
		}
		return reply{}, err
	}
	return jsonReply(http.StatusOK, Health{"ready"}), nil
}
