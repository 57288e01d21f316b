package server

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"socialctl/social"
)

// The plain form of what the encoder writes, for encoding/json.
type (
	plainEmbedded struct {
		ID           social.MessageID  `json:"id"`
		Kind         social.Kind       `json:"kind"`
		Author       social.AuthorCard `json:"author"`
		Content      string            `json:"content"`
		Visibility   social.Visibility `json:"visibility"`
		Media        []social.Media    `json:"media"`
		Mentions     []social.Mention  `json:"mentions"`
		Activity     *struct{}         `json:"activity"`
		CommentCount int64             `json:"comment_count"`
		RepostCount  int64             `json:"repost_count"`
		LikeCount    int64             `json:"like_count"`
		Liked        bool              `json:"liked"`
		Reposted     bool              `json:"reposted"`
		CommentPage  *int64            `json:"comment_page,omitempty"`
		CreatedAt    social.Millis     `json:"created_at"`
	}
	plainMessage struct {
		ID           social.MessageID  `json:"id"`
		Kind         social.Kind       `json:"kind"`
		Author       social.AuthorCard `json:"author"`
		Content      string            `json:"content"`
		Visibility   social.Visibility `json:"visibility"`
		Media        []social.Media    `json:"media"`
		Mentions     []social.Mention  `json:"mentions"`
		Activity     *struct{}         `json:"activity"`
		Parent       any               `json:"parent"`
		Origin       any               `json:"origin"`
		CommentCount int64             `json:"comment_count"`
		RepostCount  int64             `json:"repost_count"`
		LikeCount    int64             `json:"like_count"`
		Liked        bool              `json:"liked"`
		Reposted     bool              `json:"reposted"`
		CommentPage  *int64            `json:"comment_page,omitempty"`
		CreatedAt    social.Millis     `json:"created_at"`
	}
	plainDeleted struct {
		ID      social.MessageID `json:"id"`
		Deleted bool             `json:"deleted"`
	}
	plainUnavailable struct {
		ID          social.MessageID `json:"id"`
		Unavailable bool             `json:"unavailable"`
	}
)

func orEmpty[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func plainEmbed(e *social.Embed) any {
	switch {
	case e == nil:
		return nil
	case e.Deleted:
		return plainDeleted{e.ID, true}
	case e.Unavailable:
		return plainUnavailable{e.ID, true}
	}
	m := e.Message
	return plainEmbedded{m.ID, m.Kind, m.Author, m.Content, m.Visibility, orEmpty(m.Media), orEmpty(m.Mentions), m.Activity,
		m.CommentCount, m.RepostCount, m.LikeCount, m.Liked, m.Reposted, m.CommentPage, m.CreatedAt}
}

func plain(m *social.Message) any {
	return plainMessage{m.ID, m.Kind, m.Author, m.Content, m.Visibility, orEmpty(m.Media), orEmpty(m.Mentions), m.Activity,
		plainEmbed(m.Parent), plainEmbed(m.Origin), m.CommentCount, m.RepostCount, m.LikeCount, m.Liked, m.Reposted, m.CommentPage, m.CreatedAt}
}

// text is any string, bytes that are not UTF-8 and the characters that need care included.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.SampledFrom([]rune("a\"\\\u2028\u2029\x00\x1f\x7f<>&\b\f\n\r\té😀\ufffd")), 0, 20, -1),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }))
}

func anyNumber() *rapid.Generator[int64] { return rapid.Int64Range(0, 1<<60) }

func anyID() *rapid.Generator[social.MessageID] {
	return rapid.Custom(func(t *rapid.T) social.MessageID {
		return social.MessageID{Author: social.UserID(anyNumber().Draw(t, "author")), N: anyNumber().Draw(t, "n")}
	})
}

func anyMessage(depth int) *rapid.Generator[*social.Message] {
	return rapid.Custom(func(t *rapid.T) *social.Message {
		m := &social.Message{
			ID:   anyID().Draw(t, "id"),
			Kind: rapid.SampledFrom([]social.Kind{social.KindOriginal, social.KindComment, social.KindRepost}).Draw(t, "kind"),
			Author: social.AuthorCard{ID: social.UserID(anyNumber().Draw(t, "author")), Name: anyText().Draw(t, "name"),
				DisplayName: anyText().Draw(t, "display"), AvatarURL: anyText().Draw(t, "avatar")},
			Content:      anyText().Draw(t, "content"),
			Visibility:   social.Visibility(rapid.IntRange(1, 5).Draw(t, "visibility")),
			CommentCount: anyNumber().Draw(t, "comments"), RepostCount: anyNumber().Draw(t, "reposts"), LikeCount: anyNumber().Draw(t, "likes"),
			Liked: rapid.Bool().Draw(t, "liked"), Reposted: rapid.Bool().Draw(t, "reposted"),
			CreatedAt: social.Millis(rapid.Int64Range(0, 253402300799999).Draw(t, "created")),
		}
		for range rapid.IntRange(0, 2).Draw(t, "media") {
			m.Media = append(m.Media, social.Media{ID: anyText().Draw(t, "m"), URL: anyText().Draw(t, "u"), ThumbnailURL: anyText().Draw(t, "t"),
				Type: anyText().Draw(t, "ty"), Width: int(anyNumber().Draw(t, "w")), Height: int(anyNumber().Draw(t, "h")), Alt: anyText().Draw(t, "a")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "mentions") {
			m.Mentions = append(m.Mentions, social.Mention{ID: social.UserID(anyNumber().Draw(t, "m")), Name: anyText().Draw(t, "n"), Start: 1, End: 5})
		}
		if rapid.Bool().Draw(t, "activity") {
			m.Activity = &struct{}{}
		}
		if rapid.Bool().Draw(t, "paged") {
			n := anyNumber().Draw(t, "page")
			m.CommentPage = &n
		}
		if depth > 0 {
			m.Parent, m.Origin = anyEmbed(depth).Draw(t, "parent"), anyEmbed(depth).Draw(t, "origin")
		}
		return m
	})
}

func anyEmbed(depth int) *rapid.Generator[*social.Embed] {
	return rapid.Custom(func(t *rapid.T) *social.Embed {
		e := &social.Embed{ID: anyID().Draw(t, "embedded")}
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			return nil
		case 1:
			e.Deleted = true
		case 2:
			e.Unavailable = true
		default:
			e.Message = anyMessage(depth-1).Draw(t, "message")
			e.ID = e.Message.ID
		}
		return e
	})
}

func likeStandard(t *rapid.T, got []byte, v any) {
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.TrimSuffix(want.Bytes(), []byte("\n"))) {
		t.Fatalf("\n%s\nencoding/json has\n%s", got, want.Bytes())
	}
}

func TestEncoderWritesWhatEncodingJSONWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		page := social.Page[*social.Message]{
			Items:      rapid.SliceOfN(anyMessage(2), 0, 3).Draw(t, "items"),
			NextCursor: rapid.SampledFrom([]string{"", "next\"<"}).Draw(t, "next"), PrevCursor: anyText().Draw(t, "prev"),
		}
		items := []any{}
		for _, m := range page.Items {
			items = append(items, plain(m))
		}
		likeStandard(t, appendPage(nil, page), social.Page[any]{Items: items, NextCursor: page.NextCursor, PrevCursor: page.PrevCursor})

		fixed := social.CommentPage{Items: page.Items, Page: anyNumber().Draw(t, "page"), PageCount: 3, PageSize: 20}
		likeStandard(t, appendCommentPage(nil, fixed), struct {
			Items     []any `json:"items"`
			Page      int64 `json:"page"`
			PageCount int64 `json:"page_count"`
			PageSize  int64 `json:"page_size"`
		}{items, fixed.Page, fixed.PageCount, fixed.PageSize})

		chain := social.Context{Ancestors: []*social.Embed{}, Message: anyMessage(1).Draw(t, "message")}
		ancestors := []any{}
		for range rapid.IntRange(0, 2).Draw(t, "ancestors") {
			e := anyEmbed(1).Draw(t, "ancestor")
			chain.Ancestors, ancestors = append(chain.Ancestors, e), append(ancestors, plainEmbed(e))
		}
		likeStandard(t, appendContext(nil, chain), struct {
			Ancestors []any `json:"ancestors"`
			Message   any   `json:"message"`
		}{ancestors, plain(chain.Message)})
	})
}

func samplePage() social.Page[*social.Message] {
	page := social.Page[*social.Message]{NextCursor: "bmV4dA", PrevCursor: "cHJldg"}
	for i := range int64(20) {
		page.Items = append(page.Items, &social.Message{
			ID: social.MessageID{Author: 1024, N: i}, Kind: social.KindOriginal, Visibility: social.VisibilityPublic, CreatedAt: 1763700000000,
			Author:  social.AuthorCard{ID: 1024, Name: "ada", DisplayName: "Ada Lovelace"},
			Content: "That brain of mine is something more than merely mortal; as time will show. 😀\nIf only my breathing do not.",
		})
	}
	return page
}

func BenchmarkEncodePage(b *testing.B) {
	page := samplePage()
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out := written(200, func(buf []byte) []byte { return appendPage(buf, page) })
			b.SetBytes(int64(len(out.body)))
			(*call)(nil).release(out)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		items := []any{}
		for _, m := range page.Items {
			items = append(items, plain(m))
		}
		for b.Loop() {
			if _, err := json.Marshal(social.Page[any]{Items: items}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
