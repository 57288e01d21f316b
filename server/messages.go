package server

import (
	"context"
	"net/http"
	"time"

	"socialctl/social"
)

// MessagePath is the {id} of a path.
type MessagePath struct {
	ID string `path:"id" doc:"A message's id."`
}

// MessageRequest is the body of a new message.
type MessageRequest struct {
	Content    string `json:"content,omitempty" doc:"The words, at most limits.message_length characters; kept byte for byte."`
	Visibility string `json:"visibility,omitempty" default:"public" enum:"public,followers,mutuals,private" doc:"The audience."`
}

func messageReply(status int, m *social.Message) reply {
	return written(status, func(b []byte) []byte { return appendMessage(b, m) })
}

func (s *Server) publish(ctx context.Context, c *call, in *struct{ Body MessageRequest }) (reply, error) {
	visibility, err := social.ParseVisibility(in.Body.Visibility)
	if err != nil {
		return reply{}, err
	}
	m, err := s.b.Messages.Publish(ctx, c.viewer, social.Draft{Content: in.Body.Content, Visibility: visibility}, c.key)
	if err != nil {
		return reply{}, err
	}
	return messageReply(http.StatusCreated, m), nil
}

func (s *Server) getMessage(ctx context.Context, c *call, in *MessagePath) (reply, error) {
	id, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	m, err := s.b.Messages.Get(ctx, c.viewer, id)
	if err != nil {
		return reply{}, err
	}
	return messageReply(http.StatusOK, m), nil
}

func (s *Server) getMessages(ctx context.Context, c *call, _ *idsInput) (reply, error) {
	asked, err := ids(c, social.ParseMessageID)
	if err != nil {
		return reply{}, err
	}
	all, err := s.b.Messages.GetMany(ctx, c.viewer, asked)
	if err != nil {
		return reply{}, err
	}
	return written(http.StatusOK, func(b []byte) []byte {
		return append(appendMessages(append(b, `{"items":`...), all), '}')
	}), nil
}

func (s *Server) deleteMessage(ctx context.Context, c *call, in *MessagePath) (reply, error) {
	id, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, s.b.Messages.Delete(ctx, c.viewer, id)
}

func (s *Server) getContext(ctx context.Context, c *call, in *MessagePath) (reply, error) {
	id, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	chain, err := s.b.Messages.Context(ctx, c.viewer, id)
	if err != nil {
		return reply{}, err
	}
	return written(http.StatusOK, func(b []byte) []byte { return appendContext(b, chain) }), nil
}

type accountMessagesInput struct {
	AccountPath
	PageInput
	KindInput
}

func (s *Server) listAccountMessages(ctx context.Context, c *call, in *accountMessagesInput) (reply, error) {
	of, err := s.accountOf(ctx, c, in.Account)
	if err != nil {
		return reply{}, err
	}
	kinds, err := c.kinds()
	if err != nil {
		return reply{}, err
	}
	page, err := s.b.Messages.ByAccount(ctx, c.viewer, of, social.ListQuery{PageRequest: in.request(), Kinds: kinds})
	if err != nil {
		return reply{}, err
	}
	return messagePage(c, page), nil
}

type homeInput struct {
	PageInput
	KindInput
	Before time.Time `query:"before" doc:"Begin with what is older than this instant; not together with cursor."`
}

func (s *Server) home(ctx context.Context, c *call, in *homeInput) (reply, error) {
	if in.Cursor != "" && !in.Before.IsZero() {
		return reply{}, refuse(social.CodeInvalid, "/before", "A cursor says already where to go on; before is only for a first page.")
	}
	kinds, err := c.kinds()
	if err != nil {
		return reply{}, err
	}
	page, err := s.b.Timelines.Home(ctx, c.viewer, social.ListQuery{
		PageRequest: in.request(), Kinds: kinds, Before: beforeMillis(in.Before), Prefetched: c.prefetched,
	})
	if err != nil {
		return reply{}, err
	}
	return messagePage(c, page), nil
}
