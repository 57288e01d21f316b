package social

import (
	"slices"
	"testing"
)

func TestTwoPeopleOneFollowsTheOtherPosts(t *testing.T) {
	each(t, func(t *testing.T, b *Backend) {
		ctx := t.Context()
		granted, err := b.Accounts.SignUp(ctx, SignUp{Name: "Ada", Password: "correct horse"})
		if err != nil {
			t.Fatal(err)
		}
		ada, err := b.Sessions.Authenticate(ctx, granted.Token)
		if err != nil || ada.UserID != granted.Account.ID {
			t.Fatalf("%v %v", ada, err)
		}
		if _, err := b.Accounts.SignUp(ctx, SignUp{Name: "ADA", Password: "correct horse"}); CodeOf(err) != CodeNameTaken {
			t.Fatalf("the same name again: %v", err)
		}
		bob := person(t, b)
		post(t, b, ada, "before", VisibilityPublic)
		follow(t, b, bob, ada)
		if got := contents(home(t, b, bob, 20)); !slices.Equal(got, []string{"before"}) {
			t.Fatalf("the backfill gave %q", got)
		}
		m := post(t, b, ada, "after", VisibilityFollowers)
		drain(t, b)
		if got := contents(home(t, b, bob, 1)); !slices.Equal(got, []string{"after", "before"}) {
			t.Fatalf("home has %q", got)
		}
		c, err := b.Messages.Comment(ctx, bob, m.ID, "hello", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		if c.Visibility != VisibilityFollowers || c.CommentPage == nil || *c.CommentPage != 0 {
			t.Fatalf("%+v", c)
		}
		got, err := b.Messages.Get(ctx, ada, m.ID)
		if err != nil || got.CommentCount != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if err := b.Messages.Delete(ctx, ada, m.ID); err != nil {
			t.Fatal(err)
		}
		if got := contents(home(t, b, bob, 20)); !slices.Equal(got, []string{"before"}) {
			t.Fatalf("after the deletion home has %q", got)
		}
		if _, err := b.Relations.Unfollow(ctx, bob, ada.UserID); err != nil {
			t.Fatal(err)
		}
		if got := home(t, b, bob, 20); len(got) != 0 {
			t.Fatalf("after the unfollow home has %q", contents(got))
		}
		drain(t, b)
		if err := b.Sessions.End(ctx, ada, "current"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Sessions.Authenticate(ctx, granted.Token); CodeOf(err) != CodeTokenInvalid {
			t.Fatalf("after log-out: %v", err)
		}
	})
}
