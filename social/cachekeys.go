package social

import (
	"strconv"

	"socialctl/social/copies"
)

// The keys of what is copied; timelineKey is beside the head of a timeline.

// messageKey names a message's row: "m:1024-17".
func messageKey(id MessageID) copies.Key {
	return copies.Key{Name: string(id.append(append(make([]byte, 0, 32), "m:"...))), Owner: int64(id.Author)}
}

// accountKey names a profile's row: "a:17".
func accountKey(id UserID) copies.Key { return personKey("a:", id) }

// viewerKey names the relations and own reposts of a reader: "v:17".
func viewerKey(id UserID) copies.Key { return personKey("v:", id) }

// sessionKey names all sessions of a person: "s:17".
func sessionKey(id UserID) copies.Key { return personKey("s:", id) }

func personKey(prefix string, id UserID) copies.Key {
	name := strconv.AppendInt(append(make([]byte, 0, 24), prefix...), int64(id), 10)
	return copies.Key{Name: string(name), Owner: int64(id)}
}
