package server

import (
	"context"
	"net/http"

	"socialctl/social"
)

// RepostRequest is the body of a repost; without content, or without a body, it is a repost without words.
type RepostRequest struct {
	Content string `json:"content,omitempty" doc:"Words of one's own. Each repost with words is a new one."`
}

func (s *Server) repost(ctx context.Context, c *call, in *struct {
	MessagePath
	Body *RepostRequest
}) (reply, error) {
	of, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	content := ""
	if in.Body != nil {
		content = in.Body.Content
	}
	m, created, err := s.b.Messages.Repost(ctx, c.viewer, of, content, c.key)
	if err != nil {
		return reply{}, err
	}
	if !created {
		return messageReply(http.StatusOK, m), nil
	}
	return messageReply(http.StatusCreated, m), nil
}

// putRepost makes sure of a repost without words and answers with the message that was reposted.
func (s *Server) putRepost(ctx context.Context, c *call, in *MessagePath) (reply, error) {
	of, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	if _, _, err := s.b.Messages.Repost(ctx, c.viewer, of, "", social.KeyUse{}); err != nil {
		return reply{}, err
	}
	m, err := s.b.Messages.Get(ctx, c.viewer, of)
	if err != nil {
		return reply{}, err
	}
	return messageReply(http.StatusOK, m), nil
}

func (s *Server) deleteRepost(ctx context.Context, c *call, in *MessagePath) (reply, error) {
	of, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	m, err := s.b.Messages.Unrepost(ctx, c.viewer, of)
	if err != nil {
		return reply{}, err
	}
	return messageReply(http.StatusOK, m), nil
}

type messageListInput struct {
	MessagePath
	PageInput
}

func (s *Server) listReposts(ctx context.Context, c *call, in *messageListInput) (reply, error) {
	of, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	page, err := s.b.Messages.Reposts(ctx, c.viewer, of, in.request())
	if err != nil {
		return reply{}, err
	}
	return messagePage(c, page), nil
}
