package social

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"socialctl/configs"
	"socialctl/sharding"
)

var errUnbuilt = errors.New("not built yet")

// Role says what a process is to the embedded data folder.
type Role int

// RoleServer may own the embedded Redis and brings an embedded folder up to date; RoleTool does neither.
const (
	RoleTool Role = iota
	RoleServer
)

// OpenOptions are what is not configuration.
type OpenOptions struct {
	Log  *slog.Logger
	Role Role
	Now  func() time.Time
}

// Backend is the opened system.
type Backend struct {
	Accounts  *Accounts
	Sessions  *Sessions
	Relations *Relations
	Messages  *Messages
	Timelines *Timelines
	Keys      *Keys
	Cluster   *sharding.Cluster
	Config    configs.Config
}

func Open(ctx context.Context, cfg configs.Config, o OpenOptions) (*Backend, error) {
	return nil, errUnbuilt
}
func (b *Backend) Close() error                    { return nil }
func (b *Backend) Run(ctx context.Context) error   { return errUnbuilt }
func (b *Backend) Ready(ctx context.Context) error { return errUnbuilt }

type Accounts struct{ b *Backend }

type SignUp struct{ Name, Password, DisplayName string }

// ProfilePatch changes what is not nil.
type ProfilePatch struct {
	DisplayName, Bio          *string
	Password, CurrentPassword *string
}

func (a *Accounts) SignUp(ctx context.Context, in SignUp) (Granted, error) {
	return Granted{}, errUnbuilt
}
func (a *Accounts) Get(ctx context.Context, v Viewer, id UserID) (Account, error) {
	return Account{}, errUnbuilt
}
func (a *Accounts) Resolve(ctx context.Context, v Viewer, ref string) (UserID, error) {
	return 0, errUnbuilt
}
func (a *Accounts) GetMany(ctx context.Context, v Viewer, ids []UserID) ([]Account, error) {
	return nil, errUnbuilt
}
func (a *Accounts) Update(ctx context.Context, v Viewer, p ProfilePatch) (Account, error) {
	return Account{}, errUnbuilt
}
func (a *Accounts) Delete(ctx context.Context, v Viewer, password string) error { return errUnbuilt }

type Sessions struct{ b *Backend }

func (s *Sessions) LogIn(ctx context.Context, name, password string) (Granted, error) {
	return Granted{}, errUnbuilt
}
func (s *Sessions) Authenticate(ctx context.Context, token string) (Viewer, error) {
	return Viewer{}, errUnbuilt
}
func (s *Sessions) List(ctx context.Context, v Viewer) ([]Session, error)     { return nil, errUnbuilt }
func (s *Sessions) End(ctx context.Context, v Viewer, sessionID string) error { return errUnbuilt }

type Relations struct{ b *Backend }

func (r *Relations) Follow(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return Relationship{}, errUnbuilt
}
func (r *Relations) Unfollow(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return Relationship{}, errUnbuilt
}
func (r *Relations) Block(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return Relationship{}, errUnbuilt
}
func (r *Relations) Unblock(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return Relationship{}, errUnbuilt
}
func (r *Relations) Mute(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return Relationship{}, errUnbuilt
}
func (r *Relations) Unmute(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return Relationship{}, errUnbuilt
}
func (r *Relations) RemoveFollower(ctx context.Context, v Viewer, follower UserID) (Relationship, error) {
	return Relationship{}, errUnbuilt
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

type Messages struct{ b *Backend }

// Draft is a message before it has an id. Visibility 0 means public.
type Draft struct {
	Content    string
	Visibility Visibility
}

// CommentQuery asks for comments by cursor; Oldest turns the order round.
type CommentQuery struct {
	PageRequest
	Oldest bool
}

// ListQuery asks for messages: no Kinds means all that the list holds; Before 0 means now.
type ListQuery struct {
	PageRequest
	Kinds  []Kind
	Before Millis
}

func (m *Messages) Publish(ctx context.Context, v Viewer, d Draft, k KeyUse) (*Message, error) {
	return nil, errUnbuilt
}
func (m *Messages) Comment(ctx context.Context, v Viewer, on MessageID, content string, k KeyUse) (*Message, error) {
	return nil, errUnbuilt
}
func (m *Messages) Repost(ctx context.Context, v Viewer, of MessageID, content string, k KeyUse) (msg *Message, created bool, err error) {
	return nil, false, errUnbuilt
}
func (m *Messages) Unrepost(ctx context.Context, v Viewer, of MessageID) (*Message, error) {
	return nil, errUnbuilt
}
func (m *Messages) Delete(ctx context.Context, v Viewer, id MessageID) error { return errUnbuilt }
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

// Keys remembers answers under idempotency keys.
type Keys struct{ b *Backend }

// KeyUse is one use of an Idempotency-Key; the zero value is none. Route and BodyHash are what must be the same.
type KeyUse struct {
	Key      string
	Route    string
	BodyHash [32]byte
}

// Replay is the answer that was given before; it is also the error of a verb that found its key used meanwhile.
type Replay struct {
	Status int
	Body   []byte
}

func (r *Replay) Error() string { return "answered before under this idempotency key" }

// Begin returns the answer to give again, or nil to go on.
func (k *Keys) Begin(ctx context.Context, v Viewer, use KeyUse) (*Replay, error) {
	return nil, errUnbuilt
}

// Keep stores the answer that is about to be given: every 2xx and 4xx, never a 5xx.
func (k *Keys) Keep(ctx context.Context, v Viewer, use KeyUse, status int, body []byte) error {
	return errUnbuilt
}
