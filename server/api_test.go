package server

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/social"
)

func TestAccountsAndSessions(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		up := w.nobody().want(201, "POST", "/v1/accounts", map[string]any{"name": "Ada_1", "password": password, "display_name": "Ada L."})
		ada := &client{w, up.text("token"), up.text("account", "id"), "Ada_1"}
		if up.header.Get("Cache-Control") != "private, no-store" || up.text("expires_at") == "" || up.text("account", "display_name") != "Ada L." {
			t.Errorf("%v %s", up.header, up.raw)
		}
		w.nobody().refused(409, social.CodeNameTaken, "POST", "/v1/accounts", map[string]any{"name": "ADA_1", "password": password})
		w.nobody().refused(401, social.CodeCredentialsInvalid, "POST", "/v1/sessions", map[string]any{"name": "ada_1", "password": "wrong horse"})
		w.nobody().refused(401, social.CodeCredentialsInvalid, "POST", "/v1/sessions", map[string]any{"name": "nobody", "password": password})
		in := w.nobody().want(201, "POST", "/v1/sessions", map[string]any{"name": "ada_1", "password": password})
		phone := &client{w, in.text("token"), ada.id, "Ada_1"}

		for _, ref := range []string{ada.id, "@Ada_1", "@aDA_1", "me"} {
			got := phone.want(200, "GET", "/v1/accounts/"+url.PathEscape(ref), nil)
			if got.text("id") != ada.id || got.text("name") != "Ada_1" || got.at("relationship") == nil || got.header.Get("Vary") == "" {
				t.Errorf("%s: %s", ref, got.raw)
			}
		}
		anonymous := w.nobody().want(200, "GET", "/v1/accounts/@Ada_1", nil)
		if anonymous.at("relationship") != nil {
			t.Errorf("a relationship with nobody: %s", anonymous.raw)
		}
		tag := anonymous.header.Get("ETag")
		if got := w.nobody().want(304, "GET", "/v1/accounts/@Ada_1", nil, "If-None-Match", tag); got.raw != "" {
			t.Errorf("a 304 with a body")
		}
		sessions := ada.want(200, "GET", "/v1/sessions", nil)
		if len(sessions.items("id")) != 2 || strings.Count(sessions.raw, `"current":true`) != 1 {
			t.Errorf("%s", sessions.raw)
		}

		changed := ada.want(200, "PATCH", "/v1/accounts/me", map[string]any{"bio": "Notes\u2028 <b>", "display_name": "Ada"})
		if changed.text("bio") != "Notes\u2028 <b>" || changed.text("display_name") != "Ada" {
			t.Errorf("%s", changed.raw)
		}
		w.nobody().want(200, "GET", "/v1/accounts/@Ada_1", nil, "If-None-Match", tag)
		ada.refused(403, social.CodeCredentialsInvalid, "PATCH", "/v1/accounts/me", map[string]any{"password": "another horse", "current_password": "wrong"})
		ada.want(200, "PATCH", "/v1/accounts/me", map[string]any{"password": "another horse", "current_password": password})
		phone.refused(401, social.CodeTokenInvalid, "GET", "/v1/accounts/me", nil)
		phone.refused(401, social.CodeTokenInvalid, "GET", "/v1/accounts/"+ada.id, nil) // never silently nobody
		w.nobody().refused(401, social.CodeCredentialsInvalid, "POST", "/v1/sessions", map[string]any{"name": "ada_1", "password": password})
		again := w.nobody().want(201, "POST", "/v1/sessions", map[string]any{"name": "ada_1", "password": "another horse"})
		tablet := &client{w, again.text("token"), ada.id, "Ada_1"}

		for _, s := range ada.want(200, "GET", "/v1/sessions", nil).at("items").([]any) {
			if session := s.(map[string]any); session["current"] == false {
				ada.want(204, "DELETE", "/v1/sessions/"+session["id"].(string), nil)
			}
		}
		tablet.refused(401, social.CodeTokenInvalid, "GET", "/v1/sessions", nil)
		ada.refused(404, social.CodeNotFound, "DELETE", "/v1/sessions/999", nil)
		ada.want(204, "DELETE", "/v1/sessions/current", nil)
		ada.refused(401, social.CodeTokenInvalid, "GET", "/v1/sessions", nil)

		last := w.nobody().want(201, "POST", "/v1/sessions", map[string]any{"name": "ada_1", "password": "another horse"})
		ada.token = last.text("token")
		ada.refused(422, social.CodeInvalid, "DELETE", "/v1/accounts/me", map[string]any{})
		ada.refused(403, social.CodeCredentialsInvalid, "DELETE", "/v1/accounts/me", map[string]any{"password": "wrong"})
		ada.want(202, "DELETE", "/v1/accounts/me", map[string]any{"password": "another horse"})
		ada.refused(401, social.CodeTokenInvalid, "GET", "/v1/accounts/me", nil)
		w.nobody().refused(404, social.CodeNotFound, "GET", "/v1/accounts/@Ada_1", nil)
		w.nobody().refused(409, social.CodeNameTaken, "POST", "/v1/accounts", map[string]any{"name": "ada_1", "password": password})
	})
}

func TestAccountsByID(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada, bob, cy := w.person("ada"), w.person("bob"), w.person("Żółć_żółć")
	got := w.nobody().want(200, "GET", "/v1/accounts?ids="+strings.Join([]string{cy.id, "999999", ada.id, "x", bob.id}, ","), nil)
	if names := got.items("name"); !slices.Equal(names, []string{"Żółć_żółć", "ada", "bob"}) {
		t.Errorf("%q", names)
	}
	if got := w.nobody().want(200, "GET", "/v1/accounts?ids=", nil); len(got.items("id")) != 0 {
		t.Errorf("%s", got.raw)
	}
	if id := w.nobody().want(200, "GET", "/v1/accounts/@"+url.PathEscape("Żółć_ŻÓŁĆ"), nil).text("id"); id != cy.id {
		t.Errorf("%s", id)
	}
	// Lower-case percent signs make net/url keep the path as it came.
	if id := w.nobody().want(200, "GET", "/v1/accounts/%40%c5%bb%c3%b3%c5%82%c4%87_%c5%bc%c3%b3%c5%82%c4%87", nil).text("id"); id != cy.id {
		t.Errorf("%s", id)
	}
	ada.follow(bob)
	between := ada.want(200, "GET", "/v1/accounts/relationships?ids="+bob.id+","+cy.id, nil)
	if ids := between.items("id"); !slices.Equal(ids, []string{bob.id, cy.id}) || strings.Count(between.raw, `"following":true`) != 1 {
		t.Errorf("%s", between.raw)
	}
	w.nobody().refused(401, social.CodeTokenMissing, "GET", "/v1/accounts/relationships?ids="+bob.id, nil)
}

func TestRelations(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ada, bob, cy := w.person("ada"), w.person("bob"), w.person("cy")
		followBob := "/v1/accounts/" + bob.id + "/follow"
		for range 2 {
			if r := ada.want(200, "PUT", followBob, nil); !r.is("following") || r.is("pending") || r.text("id") != bob.id {
				t.Errorf("%s", r.raw)
			}
		}
		cy.want(200, "PUT", "/v1/accounts/@bob/follow", nil)
		ada.refused(422, social.CodeSelf, "PUT", "/v1/accounts/me/follow", nil)
		ada.refused(404, social.CodeNotFound, "PUT", "/v1/accounts/999999/follow", nil)
		ada.refused(404, social.CodeNotFound, "PUT", "/v1/accounts/@no%20such%20name/follow", nil)
		w.nobody().refused(401, social.CodeTokenMissing, "PUT", followBob, nil)

		followers := w.nobody().want(200, "GET", "/v1/accounts/@bob/followers?limit=1", nil)
		if names := followers.items("name"); !slices.Equal(names, []string{"cy"}) || followers.link("next") == "" {
			t.Errorf("%s %v", followers.raw, followers.header)
		}
		if rest := w.nobody().want(200, "GET", followers.link("next"), nil); !slices.Equal(rest.items("name"), []string{"ada"}) {
			t.Errorf("%s", rest.raw)
		}
		if r := bob.want(200, "GET", "/v1/accounts/me/followers", nil); !strings.Contains(r.raw, `"followed_by":true`) {
			t.Errorf("no relationship in the items: %s", r.raw)
		}
		if r := ada.want(200, "GET", "/v1/accounts/me/following", nil); !slices.Equal(r.items("name"), []string{"bob"}) {
			t.Errorf("%s", r.raw)
		}

		if r := bob.want(200, "DELETE", "/v1/accounts/me/followers/@ada", nil); r.is("followed_by") {
			t.Errorf("%s", r.raw)
		}
		if r := ada.want(200, "GET", "/v1/accounts/@bob", nil); r.is("relationship", "following") {
			t.Errorf("removed, and following still: %s", r.raw)
		}

		if r := bob.want(200, "PUT", "/v1/accounts/@cy/block", nil); !r.is("blocking") {
			t.Errorf("%s", r.raw)
		}
		if r := cy.want(200, "GET", "/v1/accounts/@bob", nil); r.is("relationship", "following") {
			t.Errorf("blocked, and following still: %s", r.raw)
		}
		cy.refused(403, social.CodeBlocked, "PUT", followBob, nil)
		if r := bob.want(200, "GET", "/v1/accounts/me/blocks", nil); !slices.Equal(r.items("name"), []string{"cy"}) {
			t.Errorf("%s", r.raw)
		}
		if r := bob.want(200, "DELETE", "/v1/accounts/@cy/block", nil); r.is("blocking") {
			t.Errorf("%s", r.raw)
		}
		if r := ada.want(200, "PUT", "/v1/accounts/@cy/mute", nil); !r.is("muting") {
			t.Errorf("%s", r.raw)
		}
		if r := ada.want(200, "GET", "/v1/accounts/me/mutes", nil); !slices.Equal(r.items("name"), []string{"cy"}) {
			t.Errorf("%s", r.raw)
		}
		if r := ada.want(200, "DELETE", "/v1/accounts/@cy/mute", nil); r.is("muting") {
			t.Errorf("%s", r.raw)
		}
		if r := ada.want(200, "DELETE", followBob, nil); r.is("following") {
			t.Errorf("%s", r.raw)
		}
	})
}

func TestMessagesCommentsAndReposts(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ada, bob := w.person("ada"), w.person("bob")
		content := "Hello <world> & \"all\"\u2028\x00\n😀"
		m := ada.want(201, "POST", "/v1/messages", map[string]any{"content": content})
		id := m.text("id")
		for field, want := range map[string]any{"kind": "original", "content": content, "visibility": "public", "parent": nil, "origin": nil,
			"activity": nil, "liked": false, "comment_count": 0.0} {
			if m.at(field) != want {
				t.Errorf("%s is %v, want %v", field, m.at(field), want)
			}
		}
		if !strings.Contains(m.raw, `"media":[],"mentions":[]`) || strings.Contains(m.raw, "comment_page") || m.text("author", "name") != "ada" {
			t.Errorf("%s", m.raw)
		}
		private := ada.want(201, "POST", "/v1/messages", map[string]any{"content": "mine", "visibility": "private"}).text("id")
		bob.refused(404, social.CodeNotFound, "GET", "/v1/messages/"+private, nil)
		if got := bob.want(200, "GET", "/v1/messages?ids="+private+","+id+",9-9,x", nil); !slices.Equal(got.items("id"), []string{id}) {
			t.Errorf("%s", got.raw)
		}

		comment := bob.want(201, "POST", "/v1/messages/"+id+"/comments", map[string]any{"content": "one"})
		if comment.text("parent", "id") != id || comment.text("origin", "content") != content || comment.at("comment_page") != 0.0 ||
			comment.text("kind") != "comment" {
			t.Errorf("%s", comment.raw)
		}
		if parent := comment.at("parent").(map[string]any); len(parent) == 0 || hasKey(parent, "parent") || hasKey(parent, "origin") {
			t.Errorf("an embedded message embeds: %s", comment.raw)
		}
		reply := ada.want(201, "POST", "/v1/messages/"+comment.text("id")+"/comments", map[string]any{"content": "two"})
		chain := w.nobody().want(200, "GET", "/v1/messages/"+reply.text("id")+"/context", nil)
		ancestors := chain.at("ancestors").([]any)
		if len(ancestors) != 2 || ancestors[0].(map[string]any)["id"] != id || chain.text("message", "id") != reply.text("id") {
			t.Errorf("%s", chain.raw)
		}
		if got := w.nobody().want(200, "GET", "/v1/messages/"+id+"/context", nil); len(got.at("ancestors").([]any)) != 0 {
			t.Errorf("%s", got.raw)
		}
		if got := w.nobody().want(200, "GET", "/v1/messages/"+id+"/comments", nil); !slices.Equal(got.items("content"), []string{"two", "one"}) {
			t.Errorf("%s", got.raw)
		}
		if got := w.nobody().want(200, "GET", "/v1/messages/"+id+"/comments?order=oldest", nil); !slices.Equal(got.items("content"), []string{"one", "two"}) {
			t.Errorf("%s", got.raw)
		}
		fixed := w.nobody().want(200, "GET", "/v1/messages/"+id+"/comments?page=0", nil)
		if !slices.Equal(fixed.items("content"), []string{"one", "two"}) || fixed.at("page_count") != 1.0 || fixed.at("page_size") != 20.0 ||
			fixed.at("prev_cursor") != nil || fixed.header.Get("Link") != "" {
			t.Errorf("%s %v", fixed.raw, fixed.header)
		}
		if past := w.nobody().want(200, "GET", "/v1/messages/"+id+"/comments?page=9223372036854775807", nil); len(past.items("id")) != 0 {
			t.Errorf("%s", past.raw)
		}
		ada.refused(422, social.CodeLimitedAudience, "POST", "/v1/messages/"+private+"/reposts", nil)
		ada.refused(422, social.CodeLimitedAudience, "PUT", "/v1/messages/"+comment.text("id")+"/repost", nil)

		plain := bob.want(201, "POST", "/v1/messages/"+id+"/reposts", nil)
		if plain.text("kind") != "repost" || plain.text("parent", "id") != id {
			t.Errorf("%s", plain.raw)
		}
		for _, body := range []any{nil, "{}", map[string]any{"content": ""}} {
			if again := bob.want(200, "POST", "/v1/messages/"+id+"/reposts", body); again.text("id") != plain.text("id") {
				t.Errorf("%s", again.raw)
			}
		}
		quote := bob.want(201, "POST", "/v1/messages/"+id+"/reposts", map[string]any{"content": "so true"})
		if quote.text("id") == plain.text("id") {
			t.Errorf("%s", quote.raw)
		}
		if got := bob.want(200, "GET", "/v1/messages/"+id, nil); !got.is("reposted") || got.number("repost_count") != 2 || got.number("comment_count") != 2 {
			t.Errorf("%s", got.raw)
		}
		if got := w.nobody().want(200, "GET", "/v1/messages/"+id+"/reposts", nil); len(got.items("id")) != 2 {
			t.Errorf("%s", got.raw)
		}
		if got := bob.want(200, "DELETE", "/v1/messages/"+id+"/repost", nil); got.is("reposted") || got.text("id") != id {
			t.Errorf("%s", got.raw)
		}
		for range 2 {
			if got := bob.want(200, "PUT", "/v1/messages/"+id+"/repost", nil); !got.is("reposted") || got.text("id") != id {
				t.Errorf("%s", got.raw)
			}
		}

		bob.refused(403, social.CodeNotAllowed, "DELETE", "/v1/messages/"+id, nil)
		bob.refused(404, social.CodeNotFound, "DELETE", "/v1/messages/"+private, nil)
		ada.want(204, "DELETE", "/v1/messages/"+id, nil)
		ada.want(204, "DELETE", "/v1/messages/"+id, nil)
		ada.refused(404, social.CodeNotFound, "GET", "/v1/messages/"+id, nil)
		bob.refused(404, social.CodeNotFound, "POST", "/v1/messages/"+id+"/comments", map[string]any{"content": "late"})
		if got := w.nobody().want(200, "GET", "/v1/messages/"+comment.text("id"), nil); got.at("parent").(map[string]any)["deleted"] != true {
			t.Errorf("%s", got.raw)
		}
		if got := w.nobody().want(200, "GET", "/v1/accounts/@ada/messages", nil); !slices.Equal(got.items("content"), []string{"two"}) {
			t.Errorf("%s", got.raw)
		}
		if got := ada.want(200, "GET", "/v1/accounts/me/messages?kind=original", nil); !slices.Equal(got.items("content"), []string{"mine"}) {
			t.Errorf("%s", got.raw)
		}
	})
}

func hasKey(m map[string]any, key string) bool {
	_, ok := m[key]
	return ok
}

func TestPagingByLinksSeesEachEntryOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ada := w.person("ada")
		var all []string
		for i := range 11 {
			all = append(all, ada.post(fmt.Sprint(i)))
		}
		slices.Reverse(all)
		for _, list := range []string{"/v1/timelines/home?", "/v1/accounts/me/messages?kind=original&"} {
			path, seen := list+"limit=3", []string(nil)
			var last *result
			for path != "" {
				last = ada.want(200, "GET", path, nil)
				seen = append(seen, last.items("id")...)
				if last.link("prev") == "" || last.text("prev_cursor") == "" {
					t.Fatalf("no way up from %s", path)
				}
				path = last.link("next")
			}
			if !slices.Equal(seen, all) {
				t.Errorf("%s saw %q, want %q", list, seen, all)
			}
			if last.at("next_cursor") != nil {
				t.Errorf("the end has a next_cursor: %s", last.raw)
			}
			up := []string(nil)
			for path = last.link("prev"); ; {
				page := ada.want(200, "GET", path, nil)
				if len(page.items("id")) == 0 {
					break
				}
				up = append(page.items("id"), up...)
				path = page.link("prev")
			}
			if want := all[:len(all)-len(last.items("id"))]; !slices.Equal(up, want) {
				t.Errorf("%s upwards saw %q, want %q", list, up, want)
			}
		}
	})
}

func TestHome(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ada, bob := w.person("ada"), w.person("bob")
		first := bob.want(200, "GET", "/v1/timelines/home", nil)
		if len(first.items("id")) != 0 || first.at("next_cursor") != nil || first.text("prev_cursor") == "" {
			t.Errorf("%s", first.raw)
		}
		before := ada.post("before")
		bob.follow(ada)
		w.settle(func() bool { return len(bob.want(200, "GET", "/v1/timelines/home", nil).items("id")) == 1 })
		after := ada.post("after")
		w.settle(func() bool { return len(bob.want(200, "GET", "/v1/timelines/home", nil).items("id")) == 2 })
		page := bob.want(200, "GET", "/v1/timelines/home", nil)
		if !slices.Equal(page.items("id"), []string{after, before}) || page.header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s %v", page.raw, page.header)
		}
		if up := bob.want(200, "GET", first.link("prev"), nil); !slices.Equal(up.items("id"), []string{after, before}) {
			t.Errorf("above the empty page: %s", up.raw)
		}
		bob.want(304, "GET", "/v1/timelines/home", nil, "If-None-Match", page.header.Get("ETag"))
		if down := bob.want(200, "GET", "/v1/timelines/home?limit=1", nil); bob.want(200, "GET", down.link("next"), nil).header.Get("ETag") != "" {
			t.Error("a page that is not the top has an ETag")
		}
		at := ada.want(200, "GET", "/v1/messages/"+after, nil).text("created_at")
		older := bob.want(200, "GET", "/v1/timelines/home?limit=1&before="+at, nil)
		if !slices.Equal(older.items("id"), []string{before}) || strings.Contains(older.header.Get("Link"), "before") {
			t.Errorf("before=%s: %s %v", at, older.raw, older.header)
		}
		bob.refused(422, social.CodeInvalid, "GET", "/v1/timelines/home?before="+at+"&cursor="+page.text("prev_cursor"), nil)
		if got := bob.want(200, "GET", "/v1/timelines/home?kind=repost", nil); len(got.items("id")) != 0 {
			t.Errorf("%s", got.raw)
		}
		bob.want(200, "PUT", "/v1/accounts/@ada/mute", nil)
		if got := bob.want(200, "GET", "/v1/timelines/home", nil, "If-None-Match", page.header.Get("ETag")); len(got.items("id")) != 0 {
			t.Errorf("%s", got.raw)
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ada, bob := w.person("ada"), w.person("bob")
		key := []string{"Idempotency-Key", "key 1"}
		body := map[string]any{"content": "once"}
		first := ada.want(201, "POST", "/v1/messages", body, key...)
		if first.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%v", first.header)
		}
		again := ada.want(201, "POST", "/v1/messages", body, key...)
		if again.raw != first.raw || again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v\n%s", again.raw, again.header, first.raw)
		}
		if other := bob.want(201, "POST", "/v1/messages", body, key...); other.text("id") == first.text("id") {
			t.Errorf("the key of another account: %s", other.raw)
		}
		ada.refused(422, social.CodeIdempotencyKeyReused, "POST", "/v1/messages", map[string]any{"content": "twice"}, key...)
		ada.refused(422, social.CodeIdempotencyKeyReused, "POST", "/v1/messages/"+first.text("id")+"/comments", body, key...)
		if got := ada.want(200, "GET", "/v1/accounts/me/messages", nil); len(got.items("id")) != 1 {
			t.Errorf("%s", got.raw)
		}

		// Refusals are kept with their bytes, those of the schema too.
		for i, c := range []struct{ path, body string }{
			{"/v1/messages", `{"content":"  "}`}, {"/v1/messages", `{"contents":"x"}`}, {"/v1/messages/9-9/comments", `{"content":"x"}`},
		} {
			key := []string{"Idempotency-Key", fmt.Sprint("refused ", i)}
			refused := ada.do("POST", c.path, c.body, key...)
			again := ada.do("POST", c.path, c.body, key...)
			if refused.status < 400 || refused.status > 499 || again.raw != refused.raw || again.status != refused.status ||
				again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Content-Type") != problemType {
				t.Errorf("%s: %s\n%s %v", c.body, refused.raw, again.raw, again.header)
			}
			ada.refused(422, social.CodeIdempotencyKeyReused, "POST", c.path, `{"content":"other"}`, key...)
		}

		id := bob.post("to repost")
		repost := ada.want(201, "POST", "/v1/messages/"+id+"/reposts", nil, "Idempotency-Key", "r")
		if again := ada.want(201, "POST", "/v1/messages/"+id+"/reposts", nil, "Idempotency-Key", "r"); again.raw != repost.raw {
			t.Errorf("%s", again.raw)
		}
		for _, bad := range []string{"é", strings.Repeat("k", 256)} {
			ada.refused(422, social.CodeInvalid, "POST", "/v1/messages", body, "Idempotency-Key", bad)
		}
	})
}

// A server may die between storing a message and keeping its answer; the repeat must find the message.
func TestIdempotencyKeyWhoseAnswerWasNotKept(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada := w.person("ada")
	id, err := social.ParseUserID(ada.id)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"content":"once"}`
	use := keyUse(requestFor(t, "POST", "/v1/messages"), "lost", []byte(body))
	m, err := w.b.Messages.Publish(t.Context(), social.Viewer{UserID: id}, social.Draft{Content: "once", Visibility: social.VisibilityPublic}, use)
	if err != nil {
		t.Fatal(err)
	}
	ada.refused(409, social.CodeIdempotencyInProgress, "POST", "/v1/messages", body, "Idempotency-Key", "lost")
	w.ahead.Add(int64(time.Minute))
	found := ada.want(201, "POST", "/v1/messages", body, "Idempotency-Key", "lost")
	again := ada.want(201, "POST", "/v1/messages", body, "Idempotency-Key", "lost")
	for _, r := range []*result{found, again} {
		if r.status != 201 || r.text("id") != m.ID.String() || r.header.Get("Idempotent-Replayed") != "true" || r.raw != again.raw {
			t.Errorf("%d %s %v", r.status, r.raw, r.header)
		}
	}
}

func TestReadyNamesNothing(t *testing.T) {
	w := embeddedWorld(t, nil)
	if got := w.nobody().want(200, "GET", "/readyz", nil); got.raw != `{"status":"ready"}` {
		t.Errorf("%s", got.raw)
	}
	if err := w.b.Cluster.Close(); err != nil {
		t.Fatal(err)
	}
	p := w.nobody().refused(503, social.CodeUnavailable, "GET", "/readyz", nil)
	if strings.Contains(p.Detail, "sql") || strings.Contains(p.Detail, w.s.cfg.Data) {
		t.Errorf("%+v", p)
	}
}

func TestInstanceSaysWhatIsAccepted(t *testing.T) {
	w := embeddedWorld(t, func(c *configs.Config) { c.Message.MaxLength = 10 })
	ada := w.person("ada")
	in := w.nobody().want(200, "GET", "/v1/instance", nil)
	longest, bytes := in.number("limits", "message_length"), in.number("limits", "message_bytes")
	post := func(content string, status int) {
		t.Helper()
		if r := ada.do("POST", "/v1/messages", map[string]any{"content": content}); r.status != status {
			t.Errorf("%d characters, %d bytes: %d, want %d", longest, len(content), r.status, status)
		}
	}
	post(strings.Repeat("x", longest), 201)
	post(strings.Repeat("x", longest+1), 422)
	post(strings.Repeat("👍🏽", longest), 201) // one character of 8 bytes
	heavy := "e" + strings.Repeat("\u0301", (bytes-1)/2)
	post(heavy, 201)
	post(heavy+"\u0301", 422)

	bio, display := in.number("limits", "bio_length"), in.number("limits", "display_name_length")
	ada.want(200, "PATCH", "/v1/accounts/me", map[string]any{"bio": strings.Repeat("é", bio), "display_name": strings.Repeat("é", display)})
	ada.refused(422, social.CodeTooLong, "PATCH", "/v1/accounts/me", map[string]any{"bio": strings.Repeat("é", bio+1)})
	ada.refused(422, social.CodeTooLong, "PATCH", "/v1/accounts/me", map[string]any{"display_name": strings.Repeat("é", display+1)})

	name, least, most := in.number("limits", "name_length"), in.number("limits", "password_min_bytes"), in.number("limits", "password_max_bytes")
	w.nobody().want(201, "POST", "/v1/accounts", map[string]any{"name": strings.Repeat("n", name), "password": strings.Repeat("p", most)})
	w.nobody().refused(422, social.CodeNameInvalid, "POST", "/v1/accounts", map[string]any{"name": strings.Repeat("n", name+1), "password": password})
	w.nobody().want(201, "POST", "/v1/accounts", map[string]any{"name": "least", "password": strings.Repeat("p", least)})
	w.nobody().refused(422, social.CodePasswordWeak, "POST", "/v1/accounts", map[string]any{"name": "other", "password": strings.Repeat("p", least-1)})
	w.nobody().refused(422, social.CodeTooLong, "POST", "/v1/accounts", map[string]any{"name": "other", "password": strings.Repeat("p", most+1)})
	for _, v := range in.at("visibilities").([]any) {
		ada.want(201, "POST", "/v1/messages", map[string]any{"content": "x", "visibility": v})
	}
	if list := ada.want(200, "GET", "/v1/accounts/me/messages", nil); len(list.items("id")) > in.number("limits", "page_default") {
		t.Errorf("%d on a page", len(list.items("id")))
	}
}
