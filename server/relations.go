package server

import (
	"context"

	"socialctl/social"
)

// relate is one of the verbs that change how the asker stands to another account, and answer with how that is now.
func (s *Server) relate(verb func(context.Context, social.Viewer, social.UserID) (social.Relationship, error)) handler[AccountPath] {
	return func(ctx context.Context, c *call, in *AccountPath) (reply, error) {
		other, err := s.accountOf(ctx, c, in.Account)
		if err != nil {
			return reply{}, err
		}
		r, err := verb(ctx, c.viewer, other)
		if err != nil {
			return reply{}, err
		}
		return jsonReply(success(r), r), nil
	}
}

func (s *Server) getRelationships(ctx context.Context, c *call, _ *idsInput) (reply, error) {
	asked, err := ids(c, social.ParseUserID)
	if err != nil {
		return reply{}, err
	}
	all, err := s.b.Relations.Between(ctx, c.viewer, asked)
	if err != nil {
		return reply{}, err
	}
	return items(all), nil
}

type accountListInput struct {
	AccountPath
	PageInput
}

// listOf is one of the lists of accounts around an account.
func (s *Server) listOf(list func(context.Context, social.Viewer, social.UserID, social.PageRequest) (social.Page[social.Account], error)) handler[accountListInput] {
	return func(ctx context.Context, c *call, in *accountListInput) (reply, error) {
		of, err := s.accountOf(ctx, c, in.Account)
		if err != nil {
			return reply{}, err
		}
		page, err := list(ctx, c.viewer, of, in.request())
		if err != nil {
			return reply{}, err
		}
		return pageOf(c, page), nil
	}
}

// ownList is one of the lists of accounts that only the asker sees.
func (s *Server) ownList(list func(context.Context, social.Viewer, social.PageRequest) (social.Page[social.Account], error)) handler[PageInput] {
	return func(ctx context.Context, c *call, in *PageInput) (reply, error) {
		page, err := list(ctx, c.viewer, in.request())
		if err != nil {
			return reply{}, err
		}
		return pageOf(c, page), nil
	}
}
