package server

import (
	"context"
	"net/http"

	"socialctl/social"
)

// CommentRequest is the body of a new comment.
type CommentRequest struct {
	Content string `json:"content,omitempty" doc:"The words, at most limits.message_length characters; kept byte for byte."`
}

func (s *Server) comment(ctx context.Context, c *call, in *struct {
	MessagePath
	Body CommentRequest
}) (reply, error) {
	on, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	m, err := s.b.Messages.Comment(ctx, c.viewer, on, in.Body.Content, c.key)
	if err != nil {
		return reply{}, err
	}
	return messageReply(http.StatusCreated, m), nil
}

type commentsInput struct {
	MessagePath
	PageInput
	Order string `query:"order" enum:"newest,oldest" default:"newest" doc:"Which comments come first."`
	Page  int64  `query:"page" minimum:"0" doc:"A fixed page as written, oldest first, the first is 0; not together with cursor or limit."`
}

func (s *Server) listComments(ctx context.Context, c *call, in *commentsInput) (reply, error) {
	on, err := social.ParseMessageID(in.ID)
	if err != nil {
		return reply{}, err
	}
	if c.query.Has("page") {
		for _, other := range []string{"cursor", "limit"} {
			if c.query.Has(other) {
				return reply{}, refuse(social.CodeInvalid, "/"+other, "A fixed page has neither cursor nor limit.")
			}
		}
		page, err := s.b.Messages.CommentsPage(ctx, c.viewer, on, in.Page)
		if err != nil {
			return reply{}, err
		}
		return written(http.StatusOK, func(b []byte) []byte { return appendCommentPage(b, page) }), nil
	}
	page, err := s.b.Messages.Comments(ctx, c.viewer, on, social.CommentQuery{PageRequest: in.request(), Oldest: in.Order == "oldest"})
	if err != nil {
		return reply{}, err
	}
	return messagePage(c, page), nil
}
