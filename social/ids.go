package social

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// UserID names an account; it is written as a decimal number and opaque to clients.
type UserID int64

// String is the id as clients see it.
func (id UserID) String() string { return strconv.FormatInt(int64(id), 10) }

// MarshalText writes the id for JSON.
func (id UserID) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(id), 10), nil }

// UnmarshalText reads what MarshalText wrote, 0 for nobody too.
func (id *UserID) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*id = 0
		return nil
	}
	got, err := ParseUserID(string(text))
	*id = got
	return err
}

// ParseUserID reads an account id; the error is a not_found, as for any id that names nobody.
func ParseUserID(s string) (UserID, error) {
	n, ok := parseNumber(s)
	if !ok {
		return 0, notFound("account")
	}
	return UserID(n), nil
}

// parseNumber takes a positive decimal in its one canonical form.
func parseNumber(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 18 || s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// MessageID names a message by its author and the author's own number: 1024-17. The zero value names none.
type MessageID struct {
	Author UserID
	N      int64
}

// IsZero reports whether the id names no message.
func (id MessageID) IsZero() bool { return id == MessageID{} }

// String is the id as clients see it.
func (id MessageID) String() string { return fmt.Sprintf("%d-%d", int64(id.Author), id.N) }

// MarshalText writes the id for JSON.
func (id MessageID) MarshalText() ([]byte, error) { return id.append(nil), nil }

func (id MessageID) append(b []byte) []byte {
	b = strconv.AppendInt(b, int64(id.Author), 10)
	b = append(b, '-')
	return strconv.AppendInt(b, id.N, 10)
}

// UnmarshalText reads what MarshalText wrote.
func (id *MessageID) UnmarshalText(text []byte) error {
	got, err := ParseMessageID(string(text))
	*id = got
	return err
}

// ParseMessageID reads a message id; the error is a not_found.
func ParseMessageID(s string) (MessageID, error) {
	author, n, ok := strings.Cut(s, "-")
	a, okA := parseNumber(author)
	m, okN := parseNumber(n)
	if !ok || !okA || !okN {
		return MessageID{}, notFound("message")
	}
	return MessageID{UserID(a), m}, nil
}

// Millis is an instant in milliseconds of UTC since 1970, as the tables keep it; RFC 3339 outside.
type Millis int64

const rfc3339Millis = "2006-01-02T15:04:05.000Z"

// Time is the instant as Go has it, in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// String is the instant in RFC 3339 with milliseconds.
func (m Millis) String() string { return m.Time().Format(rfc3339Millis) }

// MarshalText writes the instant in RFC 3339 with milliseconds.
func (m Millis) MarshalText() ([]byte, error) { return m.Time().AppendFormat(nil, rfc3339Millis), nil }

// UnmarshalText reads RFC 3339.
func (m *Millis) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return errorf(CodeMalformed, "", "%q is not an RFC 3339 time", text)
	}
	*m = Millis(t.UnixMilli())
	return nil
}

// Kind is what a message is.
type Kind int

// The kinds of message, as the tables number them.
const (
	KindOriginal Kind = 1
	KindComment  Kind = 2
	KindRepost   Kind = 3
)

var kindNames = map[Kind]string{KindOriginal: "original", KindComment: "comment", KindRepost: "repost"}

// String is the kind's name in the API.
func (k Kind) String() string { return kindNames[k] }

// MarshalText writes the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(kindNames[k]), nil }

// UnmarshalText reads the kind's name.
func (k *Kind) UnmarshalText(text []byte) error {
	got, err := ParseKind(string(text))
	*k = got
	return err
}

// ParseKind reads a kind's name.
func ParseKind(s string) (Kind, error) {
	for k, name := range kindNames {
		if name == s {
			return k, nil
		}
	}
	return 0, errorf(CodeInvalid, "/kind", "%q is not original, comment or repost", s)
}

// Visibility is the audience that the author chose.
type Visibility int

// The audiences, as the tables number them. A message of any but the first is a limited one.
const (
	VisibilityPublic    Visibility = 1
	VisibilityFollowers Visibility = 2
	VisibilityMutuals   Visibility = 3
	VisibilityLabels    Visibility = 4
	VisibilityPrivate   Visibility = 5
)

var visibilityNames = map[Visibility]string{VisibilityPublic: "public", VisibilityFollowers: "followers",
	VisibilityMutuals: "mutuals", VisibilityLabels: "labels", VisibilityPrivate: "private"}

// Limited reports whether the audience is less than everybody.
func (v Visibility) Limited() bool { return v != VisibilityPublic }

// String is the audience's name in the API.
func (v Visibility) String() string { return visibilityNames[v] }

// MarshalText writes the audience's name.
func (v Visibility) MarshalText() ([]byte, error) { return []byte(visibilityNames[v]), nil }

// UnmarshalText reads the audience's name.
func (v *Visibility) UnmarshalText(text []byte) error {
	got, err := ParseVisibility(string(text))
	*v = got
	return err
}

// ParseVisibility reads an audience's name; labels are refused until they exist.
func ParseVisibility(s string) (Visibility, error) {
	for _, v := range []Visibility{VisibilityPublic, VisibilityFollowers, VisibilityMutuals, VisibilityPrivate} {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, errorf(CodeInvalid, "/visibility", "%q is not public, followers, mutuals or private", s)
}
