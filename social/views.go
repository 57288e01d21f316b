package social

// AuthorCard is the short form of an account that every message carries.
type AuthorCard struct {
	ID          UserID `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
	AvatarURL   string `json:"avatar_url"`
}

// Account is a profile as clients see it.
type Account struct {
	ID             UserID        `json:"id"`
	Name           string        `json:"name"`
	DisplayName    string        `json:"display_name"`
	Bio            string        `json:"bio"`
	AvatarURL      string        `json:"avatar_url"`
	CreatedAt      Millis        `json:"created_at"`
	MessageCount   int64         `json:"message_count"`
	FollowersCount int64         `json:"followers_count"`
	FollowingCount int64         `json:"following_count"`
	Relationship   *Relationship `json:"relationship,omitempty"`
}

// Relationship is how the asker stands to another account.
type Relationship struct {
	ID         UserID `json:"id"`
	Following  bool   `json:"following"`
	FollowedBy bool   `json:"followed_by"`
	Blocking   bool   `json:"blocking"`
	BlockedBy  bool   `json:"blocked_by"`
	Muting     bool   `json:"muting"`
	Pending    bool   `json:"pending"`
}

// Session is one log-in as its owner sees it.
type Session struct {
	ID         string `json:"id"`
	CreatedAt  Millis `json:"created_at"`
	LastUsedAt Millis `json:"last_used_at"`
	ExpiresAt  Millis `json:"expires_at"`
	Current    bool   `json:"current"`
}

// Granted is the answer to a sign-up or a log-in; the token is shown this once.
type Granted struct {
	Account   Account `json:"account"`
	Token     string  `json:"token"`
	ExpiresAt Millis  `json:"expires_at"`
}

// Media is a picture or film of a message; none exist yet.
type Media struct {
	ID           string `json:"id"`
	URL          string `json:"url"`
	ThumbnailURL string `json:"thumbnail_url"`
	Type         string `json:"type"`
	Width        int    `json:"width"`
	Height       int    `json:"height"`
	Alt          string `json:"alt"`
}

// Mention is a name in a message's words that is an account; none are found yet.
type Mention struct {
	ID    UserID `json:"id"`
	Name  string `json:"name"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

// Message is a message as its reader sees it.
type Message struct {
	ID           MessageID  `json:"id"`
	Kind         Kind       `json:"kind"`
	Author       AuthorCard `json:"author"`
	Content      string     `json:"content"`
	Visibility   Visibility `json:"visibility"`
	Media        []Media    `json:"media"`
	Mentions     []Mention  `json:"mentions"`
	Activity     *struct{}  `json:"activity"`
	Parent       *Embed     `json:"parent"`
	Origin       *Embed     `json:"origin"`
	CommentCount int64      `json:"comment_count"`
	RepostCount  int64      `json:"repost_count"`
	LikeCount    int64      `json:"like_count"`
	Liked        bool       `json:"liked"`
	Reposted     bool       `json:"reposted"`
	CommentPage  *int64     `json:"comment_page,omitempty"`
	CreatedAt    Millis     `json:"created_at"`
}

// Embed is a message inside another, or a word on why it is not shown. Exactly one of Message, Deleted and Unavailable
// is set.
type Embed struct {
	ID          MessageID
	Message     *Message
	Deleted     bool
	Unavailable bool
}

// Page is a list's answer. NextCursor is empty at the end of history and nowhere else; PrevCursor is always there.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
	PrevCursor string `json:"prev_cursor"`
}

// CommentPage is the fixed page of the comments under a message, as they were written.
type CommentPage struct {
	Items     []*Message `json:"items"`
	Page      int64      `json:"page"`
	PageCount int64      `json:"page_count"`
	PageSize  int64      `json:"page_size"`
}

// Context is a reply with the chain of what it answers, root first.
type Context struct {
	Ancestors []*Embed `json:"ancestors"`
	Message   *Message `json:"message"`
}

// Viewer is who asks. The zero value is nobody in particular.
type Viewer struct {
	UserID  UserID
	Session string
}

// Known reports whether the asker has an account.
func (v Viewer) Known() bool { return v.UserID != 0 }

// PageRequest says which part of a list is wanted. Limit is 1 to 100; 0 means 20.
type PageRequest struct {
	Limit  int
	Cursor string
}
