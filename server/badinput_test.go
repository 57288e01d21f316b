package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"socialctl/configs"
	"socialctl/social"
)

func requestFor(t *testing.T, method, path string) *http.Request {
	t.Helper()
	return httptest.NewRequest(method, path, nil)
}

func TestCursorsThatAreNotOfThisList(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada, bob := w.person("ada"), w.person("bob")
	id := ada.post("0")
	for i := range 3 {
		ada.post(fmt.Sprint(i + 1))
		ada.want(201, "POST", "/v1/messages/"+id+"/comments", map[string]any{"content": fmt.Sprint(i)})
	}
	home := ada.want(200, "GET", "/v1/timelines/home?limit=1", nil).text("next_cursor")
	ada.want(200, "GET", "/v1/timelines/home?limit=100&cursor="+home, nil) // limit may change
	bad := []string{"x", "AAAA", "null", "0", "-1", strings.Repeat("A", 4000), "' OR 1=1 --", "\x00", "😀", home + "A", home + "=", " " + home, home + "\n"}
	for n := 1; n < len(home); n += 7 {
		bad = append(bad, home[:n])
		changed := []byte(home)
		if changed[n]++; changed[n] == 'Z'+1 || changed[n] == 'z'+1 || changed[n] == '9'+1 {
			changed[n] = 'A'
		}
		bad = append(bad, string(changed))
	}
	for _, cursor := range bad {
		ada.refused(400, social.CodeCursorInvalid, "GET", "/v1/timelines/home?cursor="+url.QueryEscape(cursor), nil)
	}
	for _, elsewhere := range []string{
		"/v1/accounts/me/messages?", "/v1/timelines/home?kind=original&", "/v1/messages/" + id + "/comments?", "/v1/messages/" + id + "/reposts?",
		"/v1/accounts/me/followers?", "/v1/accounts/me/following?", "/v1/accounts/me/blocks?", "/v1/accounts/me/mutes?",
	} {
		ada.refused(400, social.CodeCursorInvalid, "GET", elsewhere+"cursor="+home, nil)
	}
	bob.refused(400, social.CodeCursorInvalid, "GET", "/v1/timelines/home?cursor="+home, nil)
	comments := ada.want(200, "GET", "/v1/messages/"+id+"/comments?limit=1", nil).text("next_cursor")
	ada.refused(400, social.CodeCursorInvalid, "GET", "/v1/messages/"+id+"/comments?order=oldest&cursor="+comments, nil)
	w.nobody().refused(400, social.CodeCursorInvalid, "GET", "/v1/messages/"+id+"/comments?cursor="+comments, nil)
}

func TestTokensThatAreNotOurs(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada, other := w.person("ada"), embeddedWorld(t, nil).person("ada")
	bad := []string{other.token, "x", ada.token + "x", ada.token + " ", strings.Repeat("A", 8000), "' OR '1'='1", "null", "\xff\xfe", "é", "1.", ".", "1.1.1"}
	for n := 1; n < len(ada.token); n += 5 {
		bad = append(bad, ada.token[:n])
	}
	for _, token := range bad {
		c := &client{w: w, token: token}
		if strings.HasSuffix(token, " ") {
			continue // the transport trims it, and what arrives is the token
		}
		for _, path := range []string{"/v1/timelines/home", "/v1/accounts/" + ada.id, "/v1/messages?ids=1-1"} {
			c.refused(401, social.CodeTokenInvalid, "GET", path, nil)
		}
		c.want(200, "GET", "/v1/instance", nil) // a route that ignores tokens does
	}
}

func TestOtherPeoplesPrivateMessages(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada, bob := w.person("ada"), w.person("bob")
	id := ada.want(201, "POST", "/v1/messages", map[string]any{"content": "SECRET", "visibility": "private"}).text("id")
	comment := ada.want(201, "POST", "/v1/messages/"+id+"/comments", map[string]any{"content": "SECRET TOO"}).text("id")
	absent := ada.id + "-999"
	for _, c := range []*client{bob, w.nobody()} {
		for _, request := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/v1/messages/%s", nil}, {"GET", "/v1/messages/%s/context", nil}, {"GET", "/v1/messages/%s/comments", nil},
			{"GET", "/v1/messages/%s/comments?page=0", nil}, {"GET", "/v1/messages/%s/comments?order=oldest", nil}, {"GET", "/v1/messages/%s/reposts", nil},
			{"POST", "/v1/messages/%s/comments", `{"content":"x"}`}, {"POST", "/v1/messages/%s/reposts", nil}, {"POST", "/v1/messages/%s/reposts", `{"content":"x"}`},
			{"PUT", "/v1/messages/%s/repost", nil}, {"DELETE", "/v1/messages/%s/repost", nil}, {"DELETE", "/v1/messages/%s", nil},
		} {
			for _, hidden := range []string{id, comment} {
				got := c.do(request.method, fmt.Sprintf(request.path, hidden), request.body)
				want := c.do(request.method, fmt.Sprintf(request.path, absent), request.body)
				if got.status != want.status || got.at("code") != want.at("code") || got.at("detail") != want.at("detail") || got.status < 400 {
					t.Errorf("%s %s tells a private message from none: %d %s, %d %s", request.method, request.path, got.status, got.raw, want.status, want.raw)
				}
			}
		}
		for _, list := range []string{"/v1/messages?ids=" + id + "," + comment, "/v1/accounts/" + ada.id + "/messages", "/v1/accounts/" + ada.id + "/messages?kind=comment"} {
			if got := c.want(200, "GET", list, nil); len(got.items("id")) != 0 || strings.Contains(got.raw, "SECRET") {
				t.Errorf("%s shows %s", list, got.raw)
			}
		}
	}
}

func TestBodiesOfTenMegabytes(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada := w.person("ada")
	large := `{"content":"` + strings.Repeat("x", 10<<20) + `"}`
	for _, path := range []string{"/v1/messages", "/v1/messages/1-1/comments", "/v1/messages/1-1/reposts", "/v1/accounts", "/v1/sessions"} {
		ada.refused(413, codeTooLarge, "POST", path, large)
	}
	ada.refused(413, codeTooLarge, "PATCH", "/v1/accounts/me", large)
	ada.refused(422, social.CodeTooLong, "POST", "/v1/messages", `{"content":"`+strings.Repeat("x", 1<<20-20)+`"}`)
	ada.want(201, "POST", "/v1/messages", `{"content":"x"}`)
}

// hostile are texts that have broken other systems.
var hostile = []string{
	"'; DROP TABLE user_info; --", `" OR ""="`, "1; SELECT sleep(5)", "%s%n%x", "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "../../etc/passwd",
	"\u200b", "\u200d", "\ufeff", "\u202eabc", "😀", "👨‍👩‍👧‍👦", "e\u0301", "ß", "ﬀ", "İ", "\u0000", "a\u0000b", "\n", "\r\nX-Injected: 1", " ", "\u3000",
	"NULL", "null", "true", "0", "-1", "1e309", strings.Repeat("a\u0301\u0301\u0301", 200), "\U0010ffff", "\ufffd", "\ufffe",
}

func TestHostileTextInEveryField(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada := w.person("ada")
	own := ada.post("target")
	for _, text := range hostile {
		if r := w.nobody().do("POST", "/v1/accounts", map[string]any{"name": text, "password": "short"}); r.status != 422 {
			t.Errorf("name %q: %d %s", text, r.status, r.raw)
		}
		if r := w.nobody().do("POST", "/v1/sessions", map[string]any{"name": text, "password": text}); r.status != 401 {
			t.Errorf("log-in as %q: %d %s", text, r.status, r.raw)
		}
		for _, field := range []string{"display_name", "bio"} {
			r := ada.do("PATCH", "/v1/accounts/me", map[string]any{field: text})
			if r.status == 200 && r.text(field) != text && strings.TrimSpace(text) != "" && field == "bio" {
				t.Errorf("%s %q came back as %q", field, text, r.text(field))
			}
			clear4xxOr(t, r, 200)
		}
		for _, path := range []string{"/v1/messages", "/v1/messages/" + own + "/comments", "/v1/messages/" + own + "/reposts"} {
			r := ada.do("POST", path, map[string]any{"content": text})
			clear4xxOr(t, r, 200, 201)
			if r.status == 201 && r.text("kind") != "repost" && r.text("content") != text {
				t.Errorf("content %q came back as %q", text, r.text("content"))
			}
		}
		clear4xxOr(t, ada.do("POST", "/v1/messages", map[string]any{"content": "x", "visibility": text}))
		quoted := url.PathEscape(text)
		for _, path := range []string{"/v1/accounts/%s", "/v1/accounts/@%s", "/v1/accounts/@%s/followers", "/v1/accounts/%s/messages", "/v1/messages/%s",
			"/v1/messages/%s/comments", "/v1/messages/%s/context", "/docs/errors/%s", "/v1/%s"} {
			clear4xxOr(t, ada.do("GET", fmt.Sprintf(path, quoted), nil))
		}
		clear4xxOr(t, ada.do("PUT", "/v1/accounts/@"+quoted+"/follow", nil))
		clear4xxOr(t, ada.do("DELETE", "/v1/sessions/"+quoted, nil))
		clear4xxOr(t, ada.do("DELETE", "/v1/messages/"+quoted, nil))
		value := url.QueryEscape(text)
		for _, query := range []string{"/v1/timelines/home?cursor=%s", "/v1/timelines/home?kind=%s", "/v1/timelines/home?before=%s", "/v1/messages/" + own + "/comments?order=%s",
			"/v1/messages/" + own + "/comments?page=x%s", "/v1/timelines/home?limit=x%s", "/v1/timelines/home?%s=1"} {
			clear4xxOr(t, ada.do("GET", fmt.Sprintf(query, value), nil))
		}
		for _, list := range []string{"/v1/messages?ids=", "/v1/accounts?ids=", "/v1/accounts/relationships?ids="} {
			clear4xxOr(t, ada.do("GET", list+value, nil), 200)
		}
	}
	if got := ada.want(200, "GET", "/v1/accounts/me/messages?limit=100", nil); !slices.Contains(got.items("id"), own) {
		t.Error("the message is gone")
	}
}

// clear4xxOr checks that an answer is one of the statuses given, or a whole problem of the client's making.
func clear4xxOr(t *testing.T, r *result, statuses ...int) {
	t.Helper()
	if slices.Contains(statuses, r.status) {
		return
	}
	if r.status < 400 || r.status > 499 {
		t.Errorf("%d %s", r.status, r.raw)
		return
	}
	wantProblem(t, answer{r.status, r.header, r.raw}, r.status, social.Code(r.text("code")))
}

func TestWrongTypesAndUnknownFields(t *testing.T) {
	w := embeddedWorld(t, nil)
	ada := w.person("ada")
	own := ada.post("target")
	bodies := []string{
		``, ` `, `{`, `}`, `[`, `"`, `nul`, `{"content"}`, `{"content":}`, `{'content':'x'}`, `{"content":"x",}`, `{"content":"x"}}`, "\xef\xbb\xbf{}",
		"\xff", "{\"content\":\"\xc3\x28\"}", "{\"\xff\":1}", `{"content":"\ud800"}`, `{"content":"\udc00x"}`, strings.Repeat("[", 20000), strings.Repeat(`{"a":`, 20000),
		`null`, `true`, `1`, `"x"`, `[]`, `[{}]`, `{"content":1}`, `{"content":null}`, `{"content":true}`, `{"content":[]}`, `{"content":{}}`, `{"content":["x"]}`,
		`{"Content":"x"}`, `{"content":"x","x":1}`, `{"content":"x","":1}`, `{"content":"x","a.b":1,"visibility":5}`, `{"content":"x","__proto__":{}}`,
		`{"content":1e999}`, `{"content":"x","id":"1-1"}`, `{"content":"x","author":{"id":"1"}}`,
	}
	for _, body := range bodies {
		for _, request := range [][2]string{{"POST", "/v1/messages"}, {"POST", "/v1/messages/" + own + "/comments"}, {"POST", "/v1/messages/" + own + "/reposts"},
			{"PATCH", "/v1/accounts/me"}, {"DELETE", "/v1/accounts/me"}, {"POST", "/v1/accounts"}, {"POST", "/v1/sessions"}} {
			r := ada.do(request[0], request[1], body)
			if strings.HasSuffix(request[1], "/reposts") && (body == "" || body == "null") {
				clear4xxOr(t, r, 200, 201) // its body may be absent
				continue
			}
			clear4xxOr(t, r)
			if strings.Contains(r.raw, "json:") || strings.Contains(r.raw, "Go ") || strings.Contains(r.raw, "huma") {
				t.Errorf("%s %q says too much: %s", request[1], body, r.raw)
			}
		}
	}
	if got := ada.want(200, "GET", "/v1/accounts/me/messages?kind=original", nil); len(got.items("id")) != 1 {
		t.Errorf("something was stored: %s", got.raw)
	}
}

func TestLimitsCountByAccount(t *testing.T) {
	w := embeddedWorld(t, func(c *configs.Config) {
		c.Limits = configs.Default().Limits
		c.Limits.Write.Requests, c.Limits.Login.Requests = 3, 2
	})
	ada, bob := w.person("ada"), w.person("bob")
	for range 3 {
		ada.post("x")
	}
	p := ada.do("POST", "/v1/messages", map[string]any{"content": "x"})
	if p.status != 429 || p.header.Get("Retry-After") == "" || p.header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("%d %v", p.status, p.header)
	}
	bob.post("x") // another account, the same address
	ada.want(200, "GET", "/v1/timelines/home", nil)
	for range 2 {
		w.nobody().refused(401, social.CodeCredentialsInvalid, "POST", "/v1/sessions", map[string]any{"name": "eve", "password": "guess of 1"})
	}
	w.nobody().refused(429, social.CodeRateLimited, "POST", "/v1/sessions", map[string]any{"name": "EVE", "password": "guess of 3"})
}
