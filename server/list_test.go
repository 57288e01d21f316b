package server

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/social"
)

func callFor(t *testing.T, target string) *call {
	t.Helper()
	s, _ := doorTest(t, nil)
	c, err := s.newCall(s.echo.NewContext(httptest.NewRequest("GET", target, nil), httptest.NewRecorder()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLinksRepeatFiltersAndNotBefore(t *testing.T) {
	c := callFor(t, "/v1/timelines/home?kind=original,repost&limit=5&before=2026-01-01T00:00:00Z&cursor=old")
	found := map[string]url.Values{}
	for _, m := range regexp.MustCompile(`<([^>]*)>; rel="(\w+)"`).FindAllStringSubmatch(c.links("n+/=x", "p"), -1) {
		u, err := url.Parse(m[1])
		if err != nil || u.Path != "/v1/timelines/home" {
			t.Fatal(m[1], err)
		}
		found[m[2]] = u.Query()
	}
	for rel, cursor := range map[string]string{"next": "n+/=x", "prev": "p"} {
		want := url.Values{"kind": {"original,repost"}, "limit": {"5"}, "cursor": {cursor}}
		if found[rel].Encode() != want.Encode() {
			t.Errorf("%s: %v, want %v", rel, found[rel], want)
		}
	}
	if got, want := callFor(t, "/v1/accounts/@%C3%A9/messages").links("", "p"), `</v1/accounts/@%C3%A9/messages?cursor=p>; rel="prev"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestBeforeIsExclusiveToTheMillisecond(t *testing.T) {
	for text, want := range map[string]social.Millis{
		"2026-01-01T00:00:00Z":           1767225600000,
		"2026-01-01T00:00:00.123Z":       1767225600123,
		"2026-01-01T00:00:00.1230001Z":   1767225600124, // what happened at .123 is before it
		"2026-01-01T02:00:00.5+02:00":    1767225600500,
		"1970-01-01T00:00:00Z":           1,
		"1969-12-31T23:59:59.999999999Z": 1,
		"0001-01-01T00:00:01Z":           1,
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := beforeMillis(at); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	if got := beforeMillis(time.Time{}); got != 0 {
		t.Errorf("nothing given: %d", got)
	}
}

func TestIDsComeInTheOrderAskedWithoutWhatNamesNothing(t *testing.T) {
	c := callFor(t, "/v1/messages?ids=3-1,x,1-2&ids=2-9,,00-1")
	got, err := ids(c, social.ParseMessageID)
	want := []social.MessageID{{Author: 3, N: 1}, {Author: 1, N: 2}, {Author: 2, N: 9}}
	if err != nil || len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v %v, want %v", got, err, want)
	}
}

func TestAccepts(t *testing.T) {
	for header, want := range map[string]bool{
		"": true, "*/*": true, "application/json": true, "application/*;q=0.1": true, "text/html, */*;q=0.1": true,
		"application/problem+json": true, "APPLICATION/JSON; charset=utf-8": true,
		"text/html": false, "application/json;q=0": false, "*/*;q=0": false, "application/xml, text/*": false,
		"application/json;q=0.0, */*": false, "*/*;q=0, application/json": true,
	} {
		if got := accepts([]string{header}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	if !accepts(nil) {
		t.Error("no header accepts nothing")
	}
}

func TestLoneSurrogates(t *testing.T) {
	for text, lone := range map[string]bool{
		`{"a":"\ud83d\ude00"}`: false, `"\u0041\n\\ud83d"`: false, `""`: false, `"\uD83D\uDE00\uD83D\uDE00"`: false, `"\`: false,
		`"\ud83d"`: true, `"\ude00"`: true, `"\ud83d\u0041"`: true, `"\ud83dx\ude00"`: true, `"\\\ud83d"`: true, `"\ud83d\`: true, `"\ud83`: false,
	} {
		if got := hasLoneSurrogate([]byte(text)); got != lone {
			t.Errorf("%s: %v, want %v", text, got, lone)
		}
	}
}

func TestIdempotencyKeys(t *testing.T) {
	for key, ok := range map[string]bool{"a": true, " ~!": true, string(make([]byte, 1)): false, "": false, "é": false, "a\x7f": false} {
		if isIdempotencyKey(key) != ok {
			t.Errorf("%q: want %v", key, ok)
		}
	}
	long := make([]byte, 256)
	for i := range long {
		long[i] = 'k'
	}
	if !isIdempotencyKey(string(long[:255])) || isIdempotencyKey(string(long)) {
		t.Error("the longest key is 255 characters")
	}
}

func TestProxiesMustBeAddresses(t *testing.T) {
	cfg := configs.Default()
	cfg.HTTP.TrustedProxies = []string{"proxy.example"}
	if _, err := New(&social.Backend{}, cfg, nil, Options{}); err == nil {
		t.Error("a name is taken for a network")
	}
}
