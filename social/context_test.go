package social

import (
	"fmt"
	"slices"
	"testing"
)

func TestContext(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(3)
		a, b, me := p[0], p[1], p[2]
		root := s.post(a, "root")
		chain := []MessageID{root}
		for i := range 4 {
			by := a
			if i%2 == 0 {
				by = b
			}
			chain = append(chain, s.comment(by, chain[i], fmt.Sprint(i)))
		}
		above := func(id MessageID) []MessageID {
			t.Helper()
			got, err := s.b.Messages.Context(ctx, as(me), id)
			s.ok(err)
			if got.Message.ID != id || got.Ancestors == nil {
				t.Fatalf("the context of %s: %+v", id, got)
			}
			ids := []MessageID{}
			for _, e := range got.Ancestors {
				ids = append(ids, e.ID)
			}
			return ids
		}
		for i, id := range chain {
			if got := above(id); !slices.Equal(got, chain[:i]) {
				t.Errorf("above %s: %v, want %v", id, got, chain[:i])
			}
		}
		passed := s.repost(b, root, "")
		if got := above(passed); len(got) != 0 {
			t.Errorf("a repost answers nothing: %v", got)
		}
		answer := s.comment(a, passed, "to the repost")
		if got := above(answer); !slices.Equal(got, []MessageID{passed}) {
			t.Errorf("the root of a comment on a repost is the repost: %v", got)
		}
		s.remove(chain[1])
		s.relate(s.b.Relations.Block, b, me)
		got, err := s.b.Messages.Context(ctx, as(me), chain[4])
		s.ok(err)
		for i, want := range []struct{ deleted, unavailable bool }{{}, {unavailable: true}, {}, {unavailable: true}} {
			if e := got.Ancestors[i]; e.Deleted != want.deleted || e.Unavailable != want.unavailable || (e.Message != nil) == (want.deleted || want.unavailable) {
				t.Errorf("ancestor %d: %+v, want %+v", i, e, want)
			}
		}
		if got, err = s.b.Messages.Context(ctx, Viewer{}, chain[4]); err != nil || !got.Ancestors[1].Deleted {
			t.Errorf("a deleted ancestor: %+v, %v", got.Ancestors, err)
		}
		if _, err := s.b.Messages.Context(ctx, as(me), chain[3]); CodeOf(err) != CodeNotFound {
			t.Errorf("the context of what one may not see: %v", err)
		}
	})
}

// A chain without end is cut, with the root on top of what is left.
func TestContextIsBounded(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		a := s.people(1)[0]
		root := s.post(a, "root")
		chain := []MessageID{root}
		for i := range maxAncestors + 5 {
			chain = append(chain, s.comment(a, chain[i], "deeper"))
		}
		last := chain[len(chain)-1]
		got, err := s.b.Messages.Context(t.Context(), Viewer{}, last)
		s.ok(err)
		want := append([]MessageID{root}, chain[len(chain)-maxAncestors:len(chain)-1]...)
		if len(got.Ancestors) != maxAncestors {
			t.Fatalf("%d ancestors", len(got.Ancestors))
		}
		for i, e := range got.Ancestors {
			if e.ID != want[i] || e.Message == nil {
				t.Fatalf("ancestor %d: %+v, want %s", i, e, want[i])
			}
		}
	})
}
