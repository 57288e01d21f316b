package social

import (
	"context"
	"errors"
)

var errUnbuilt = errors.New("not built yet")

func (a *Accounts) Get(ctx context.Context, v Viewer, id UserID) (Account, error) {
	return Account{}, errUnbuilt
}
func (a *Accounts) Resolve(ctx context.Context, v Viewer, ref string) (UserID, error) {
	return 0, errUnbuilt
}
func (a *Accounts) GetMany(ctx context.Context, v Viewer, ids []UserID) ([]Account, error) {
	return nil, errUnbuilt
}

func (r *Relations) Between(ctx context.Context, v Viewer, ids []UserID) ([]Relationship, error) {
	return nil, errUnbuilt
}
func (r *Relations) Followers(ctx context.Context, v Viewer, of UserID, p PageRequest) (Page[Account], error) {
	return Page[Account]{}, errUnbuilt
}
func (r *Relations) Following(ctx context.Context, v Viewer, of UserID, p PageRequest) (Page[Account], error) {
	return Page[Account]{}, errUnbuilt
}
func (r *Relations) Blocks(ctx context.Context, v Viewer, p PageRequest) (Page[Account], error) {
	return Page[Account]{}, errUnbuilt
}
func (r *Relations) Mutes(ctx context.Context, v Viewer, p PageRequest) (Page[Account], error) {
	return Page[Account]{}, errUnbuilt
}

func (m *Messages) Get(ctx context.Context, v Viewer, id MessageID) (*Message, error) {
	return nil, errUnbuilt
}
func (m *Messages) GetMany(ctx context.Context, v Viewer, ids []MessageID) ([]*Message, error) {
	return nil, errUnbuilt
}
func (m *Messages) Context(ctx context.Context, v Viewer, id MessageID) (Context, error) {
	return Context{}, errUnbuilt
}
func (m *Messages) Comments(ctx context.Context, v Viewer, on MessageID, q CommentQuery) (Page[*Message], error) {
	return Page[*Message]{}, errUnbuilt
}
func (m *Messages) CommentsPage(ctx context.Context, v Viewer, on MessageID, page int64) (CommentPage, error) {
	return CommentPage{}, errUnbuilt
}
func (m *Messages) Reposts(ctx context.Context, v Viewer, of MessageID, p PageRequest) (Page[*Message], error) {
	return Page[*Message]{}, errUnbuilt
}
func (m *Messages) ByAccount(ctx context.Context, v Viewer, account UserID, q ListQuery) (Page[*Message], error) {
	return Page[*Message]{}, errUnbuilt
}

type Timelines struct{ b *Backend }

func (t *Timelines) Home(ctx context.Context, v Viewer, q ListQuery) (Page[*Message], error) {
	return Page[*Message]{}, errUnbuilt
}
