package server

import (
	"context"
	"net/http"

	"socialctl/social"
)

// LogInRequest is the body of a log-in.
type LogInRequest struct {
	Name     string `json:"name" doc:"The account's name, without @."`
	Password string `json:"password"`
}

func (s *Server) logIn(ctx context.Context, c *call, in *struct{ Body LogInRequest }) (reply, error) {
	if err := s.limitLogin(c, in.Body.Name); err != nil {
		return reply{}, err
	}
	granted, err := s.b.Sessions.LogIn(ctx, in.Body.Name, in.Body.Password)
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusCreated, granted), nil
}

func (s *Server) listSessions(ctx context.Context, c *call, in *PageInput) (reply, error) {
	page, err := s.b.Sessions.List(ctx, c.viewer, in.request())
	if err != nil {
		return reply{}, err
	}
	return pageOf(c, page), nil
}

func (s *Server) endSession(ctx context.Context, c *call, in *struct {
	ID string `path:"id" doc:"The session's id, or current to log out."`
}) (reply, error) {
	id := in.ID
	if id == "current" {
		id = c.viewer.Session
	}
	return reply{status: http.StatusNoContent}, s.b.Sessions.End(ctx, c.viewer, id)
}

// SignUpRequest is the body of a sign-up.
type SignUpRequest struct {
	Name        string `json:"name" doc:"1 to 30 letters, digits or underscores of any script; unique when folded."`
	Password    string `json:"password" doc:"8 to 256 bytes."`
	DisplayName string `json:"display_name,omitempty"`
}

func (s *Server) signUp(ctx context.Context, _ *call, in *struct{ Body SignUpRequest }) (reply, error) {
	granted, err := s.b.Accounts.SignUp(ctx, social.SignUp{
		Name: in.Body.Name, Password: in.Body.Password, DisplayName: in.Body.DisplayName,
	})
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusCreated, granted), nil
}
