package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"socialctl/sharding"
	"socialctl/social"
)

// grant opens a session without a password, as an operator does.
func (w *world) grant(c *client) *client {
	w.t.Helper()
	id, err := social.ParseUserID(c.id)
	if err != nil {
		w.t.Fatal(err)
	}
	granted, err := w.b.Sessions.Grant(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return &client{w, granted.Token, c.id, c.name}
}

// overfill stores sessions past every bound, as data of an older program has them, and returns the tokens, the oldest first.
func (w *world) overfill(c *client, n int) []string {
	w.t.Helper()
	id, err := social.ParseUserID(c.id)
	if err != nil {
		w.t.Fatal(err)
	}
	bucket := w.b.Cluster.Bucket(int64(id))
	now := time.Now().UnixMilli()
	var tokens []string
	err = w.b.Cluster.Write(w.t.Context(), int64(id), func(ctx context.Context, tx *sharding.Tx) error {
		tokens = nil
		for i := range n {
			session := fmt.Sprintf("%016x", i+1)
			token := fmt.Sprintf("%d.%s.secret", int64(id), session)
			hash := sha256.Sum256([]byte(token))
			if _, err := tx.Exec(ctx, sharding.Key("session", bucket, int64(id), []byte(session)), `
				INSERT INTO session (bucket, user_id, session_id, token_hash, created_ms, last_used_ms, expires_ms)
				VALUES (?, ?, ?, ?, ?, ?, ?)`, bucket, int64(id), []byte(session), hash[:], now-int64(n-i), now-int64(n-i), now+3600_000); err != nil {
				return err
			}
			tokens = append(tokens, token)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return tokens
}

func TestALogInBeyondTheBoundEndsTheSessionThatWasUsedLongestAgo(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ada := w.person("ada")
		most := int(w.nobody().want(200, "GET", "/v1/instance", nil).at("limits").(map[string]any)["sessions_max"].(float64))
		opened := []*client{ada}
		for len(opened) < most {
			opened = append(opened, w.grant(ada))
		}
		w.ahead.Add(int64(2 * time.Hour))
		for _, i := range []int{0, 2} { // used now, and so not the next to go
			opened[i].want(200, "GET", "/v1/accounts/me", nil)
		}
		newer := []*client{w.grant(ada), w.grant(ada)}
		for i, c := range opened {
			if i == 1 || i == 3 {
				c.refused(401, social.CodeTokenInvalid, "GET", "/v1/accounts/me", nil)
			} else if i < 6 {
				c.want(200, "GET", "/v1/accounts/me", nil)
			}
		}
		var seen []string
		for path := "/v1/sessions?limit=30"; path != ""; {
			page := newer[0].want(200, "GET", path, nil)
			seen = append(seen, page.items("id")...)
			path = ""
			if cursor, more := page.at("next_cursor").(string); more {
				path = "/v1/sessions?limit=30&cursor=" + url.QueryEscape(cursor)
			}
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(seen))); len(seen) != most || len(unique) != most {
			t.Errorf("%d sessions on all pages, %d of them different; want %d", len(seen), len(unique), most)
		}
	})
}

// An account of an older program with 1,041 sessions: the oldest 41 were refused, and accepted again after a change of
// password had made the list short.
func TestWhateverEndsSessionsEndsAllOfThemForEver(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, end := range map[string]func(c *client) *client{
			"password": func(c *client) *client {
				c.want(200, "PATCH", "/v1/accounts/me", map[string]any{"password": "another horse", "current_password": password})
				return c
			},
			"operator": func(c *client) *client {
				id, _ := social.ParseUserID(c.id)
				if err := w.b.Accounts.SetPassword(t.Context(), id, "another horse"); err != nil {
					t.Fatal(err)
				}
				return w.grant(c)
			},
			"disabled": func(c *client) *client {
				id, _ := social.ParseUserID(c.id)
				if err := w.b.Accounts.Disable(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if err := w.b.Accounts.Enable(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				return w.grant(c)
			},
			"deleted": func(c *client) *client {
				c.want(202, "DELETE", "/v1/accounts/me", map[string]any{"password": password})
				return nil
			},
		} {
			t.Run(name, func(t *testing.T) {
				c := w.person("p_" + name)
				id, _ := social.ParseUserID(c.id)
				if err := w.b.Accounts.SetPassword(t.Context(), id, password); err != nil {
					t.Fatal(err)
				}
				c = w.grant(c)
				tokens := w.overfill(c, 1041)
				left := end(c)
				for i := 0; i < len(tokens); i += 26 {
					old := &client{w, tokens[i], c.id, c.name}
					old.refused(401, social.CodeTokenInvalid, "GET", "/v1/accounts/me", nil)
				}
				if left == nil {
					return
				}
				if got := left.want(200, "GET", "/v1/sessions?limit=100", nil); len(got.items("id")) != 1 {
					t.Errorf("%d sessions are left", len(got.items("id")))
				}
			})
		}
	})
}

func TestALogInToAnOverfullAccountBringsItBackUnderTheBound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c := w.person("ada")
		tokens := w.overfill(c, 1041)
		now := w.grant(c)
		if got := now.want(200, "GET", "/v1/sessions?limit=100", nil); len(got.items("id")) != 100 || got.at("next_cursor") != nil {
			t.Errorf("%d sessions on the first page, next %v", len(got.items("id")), got.at("next_cursor"))
		}
		for i, token := range tokens {
			old := &client{w, token, c.id, c.name}
			switch {
			case i < 1041-98 && i%50 == 0:
				old.refused(401, social.CodeTokenInvalid, "GET", "/v1/accounts/me", nil)
			case i >= 1041-98 && i%20 == 0:
				old.want(200, "GET", "/v1/accounts/me", nil)
			}
		}
	})
}
