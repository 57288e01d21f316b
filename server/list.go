package server

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"socialctl/social"
)

// maxIDs is how many things may be asked for by id at once.
const maxIDs = 100

// PageInput is which part of a list is wanted.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Entries at most."`
	Cursor string `query:"cursor" doc:"next_cursor or prev_cursor of an answer of the same list with the same filters."`
}

func (in PageInput) request() social.PageRequest {
	return social.PageRequest{Limit: in.Limit, Cursor: in.Cursor}
}

// KindInput filters messages by kind.
type KindInput struct {
	Kind []string `query:"kind" enum:"original,comment,repost" doc:"Kinds wanted; all that the list holds unless told."`
}

// kinds reads the filter; a list with commas and a repeated parameter are the same.
func (c *call) kinds() ([]social.Kind, error) {
	var kinds []social.Kind
	for _, name := range c.list("kind") {
		k, err := social.ParseKind(name)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// list is a parameter of many values.
func (c *call) list(name string) []string {
	var all []string
	for _, v := range c.query[name] {
		if v != "" {
			all = append(all, strings.Split(v, ",")...)
		}
	}
	return all
}

// ids reads the parameter ids, in the order asked. Ids that name nothing are left out, as the contract has it.
func ids[ID any](c *call, parse func(string) (ID, error)) ([]ID, error) {
	if !c.query.Has("ids") {
		return nil, refuse(social.CodeInvalid, "/ids", "The parameter ids is needed: up to 100 ids, separated by commas.")
	}
	asked := c.list("ids")
	if len(asked) > maxIDs {
		return nil, refuse(social.CodeInvalid, "/ids", "At most 100 ids can be asked for at once.")
	}
	found := make([]ID, 0, len(asked))
	for _, text := range asked {
		if id, err := parse(text); err == nil {
			found = append(found, id)
		}
	}
	return found, nil
}

// beforeMillis is the first millisecond that is not before t. An instant at or before 1970 is the first there is,
// since 0 would mean now.
func beforeMillis(t time.Time) social.Millis {
	if t.IsZero() {
		return 0
	}
	m := t.UnixMilli()
	if t.After(time.UnixMilli(m)) {
		m++
	}
	return social.Millis(max(m, 1))
}

// links is the Link header of a page: the same list with the same filters and another cursor. before is where a first
// page began and no filter.
func (c *call) links(next, prev string) string {
	query := url.Values{}
	for name, values := range c.query {
		if name != "cursor" && name != "before" {
			query[name] = values
		}
	}
	path := c.echo.Request().URL.EscapedPath()
	link := func(cursor, rel string) string {
		query.Set("cursor", cursor)
		return "<" + path + "?" + query.Encode() + `>; rel="` + rel + `"`
	}
	out := link(prev, "prev")
	if next != "" {
		out = link(next, "next") + ", " + out
	}
	return out
}

// messagePage answers a list of messages.
func messagePage(c *call, p social.Page[*social.Message]) reply {
	out := written(http.StatusOK, func(b []byte) []byte { return appendPage(b, p) })
	out.set("Link", c.links(p.NextCursor, p.PrevCursor))
	return out
}

// pageOf answers a page of any list.
func pageOf[T any](c *call, p social.Page[T]) reply {
	if p.Items == nil {
		p.Items = []T{}
	}
	out := jsonReply(http.StatusOK, p)
	out.set("Link", c.links(p.NextCursor, p.PrevCursor))
	return out
}

// Items is a list that is whole: what was asked for by id, or is bounded by nature.
type Items[T any] struct {
	Items []T `json:"items"`
}

func items[T any](all []T) reply {
	if all == nil {
		all = []T{}
	}
	return jsonReply(http.StatusOK, Items[T]{all})
}
