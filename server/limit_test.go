package server

import (
	"fmt"
	"math"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"socialctl/configs"
	"socialctl/social"
)

// Whatever the rhythm of requests, no span of time sees more than its allowance and what flowed in meanwhile, and a
// client that waits as told is served.
func TestLimiterNeverGivesMoreThanItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := configs.Rate{Requests: rapid.IntRange(1, 50).Draw(t, "requests"), Per: time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second}
		l := newLimiter(rate)
		start := time.UnixMilli(1763700000000)
		now := start
		allowed := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(rate.Per)/10).Draw(t, "wait")))
			d := l.take("k", now)
			if d.allowed {
				allowed++
			} else if d.retry <= 0 || d.retry > rate.Per || d.remaining != 0 {
				t.Fatalf("refused with %+v", d)
			}
			if d.remaining < 0 || d.remaining >= rate.Requests || d.reset < 0 || d.reset > rate.Per {
				t.Fatalf("out of bounds: %+v", d)
			}
			most := rate.Requests + int(now.Sub(start)/l.every)
			if allowed > most {
				t.Fatalf("%d allowed after %v, at most %d", allowed, now.Sub(start), most)
			}
			if !d.allowed {
				now = now.Add(d.retry)
				if !l.take("k", now).allowed {
					t.Fatalf("refused after waiting the %v it asked for", d.retry)
				}
				allowed++
			}
		}
	})
}

func TestLimiterGivesItsWholeAllowanceAtOnce(t *testing.T) {
	if d := newLimiter(configs.Rate{Requests: math.MaxInt, Per: time.Second}).take("k", time.UnixMilli(1763700000000)); !d.allowed {
		t.Errorf("a rate beyond all measure: %+v", d)
	}
	for _, requests := range []int{1, 3, 7, 120} {
		l := newLimiter(configs.Rate{Requests: requests, Per: time.Minute})
		now := time.UnixMilli(1763700000000)
		for i := range requests {
			if d := l.take("k", now); !d.allowed || d.remaining != requests-1-i {
				t.Fatalf("%d of %d: %+v", i, requests, d)
			}
		}
		if l.take("k", now).allowed {
			t.Fatalf("request %d of %d is allowed", requests+1, requests)
		}
		if !l.take("other", now).allowed {
			t.Fatal("another key pays for it")
		}
	}
}

func TestLimiterForgetsWhoIsOwedNothing(t *testing.T) {
	l := newLimiter(configs.Rate{Requests: 10, Per: time.Second})
	now := time.UnixMilli(1763700000000)
	for i := range 20 * firstSweep {
		now = now.Add(time.Millisecond)
		l.take(strconv.Itoa(i), now)
	}
	if len(l.full) > firstSweep {
		t.Errorf("%d keys are kept, %d at most owe anything", len(l.full), 1000)
	}
}

func TestRateLimitedRoutes(t *testing.T) {
	s, _ := doorTest(t, func(c *configs.Config) { c.Limits.Read = configs.Rate{Requests: 2, Per: time.Minute} })
	now := time.UnixMilli(1763700000000)
	s.now = func() time.Time { return now }
	for i := range 2 {
		a := ask(t, s.Handler(), "GET", "/v1/instance", "")
		if a.status != 200 || a.header.Get("RateLimit-Limit") != "2" || a.header.Get("RateLimit-Remaining") != strconv.Itoa(1-i) || a.header.Get("RateLimit-Reset") == "" {
			t.Fatalf("%d: %d %v", i, a.status, a.header)
		}
	}
	a := ask(t, s.Handler(), "GET", "/v1/instance", "")
	wantProblem(t, a, 429, social.CodeRateLimited)
	if a.header.Get("Retry-After") != "30" || a.header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("%v", a.header)
	}
	if a := ask(t, s.Handler(), "GET", "/healthz", ""); a.status != 200 || a.header.Get("RateLimit-Limit") != "" {
		t.Errorf("health is limited: %d %v", a.status, a.header)
	}
	now = now.Add(30 * time.Second)
	if a := ask(t, s.Handler(), "GET", "/v1/instance", ""); a.status != 200 {
		t.Errorf("after Retry-After: %d", a.status)
	}

	off, _ := doorTest(t, func(c *configs.Config) {
		c.Limits = configs.Limits{Read: configs.Rate{Requests: 1, Per: time.Hour}}
	})
	for range 3 {
		if a := ask(t, off.Handler(), "GET", "/v1/instance", ""); a.status != 200 || a.header.Get("RateLimit-Limit") != "" {
			t.Fatalf("switched off: %d %v", a.status, a.header)
		}
	}
}

func TestLimitsGoByTheClientsAddress(t *testing.T) {
	for name, c := range map[string]struct {
		trusted                []string
		remote, forwarded, key string
	}{
		"direct":                 {nil, "192.0.2.1:1234", "", "192.0.2.1"},
		"forged":                 {nil, "192.0.2.1:1234", "203.0.113.9", "192.0.2.1"},
		"proxy":                  {[]string{"192.0.2.1"}, "192.0.2.1:1234", "203.0.113.9", "203.0.113.9"},
		"forged through a proxy": {[]string{"192.0.2.0/24"}, "192.0.2.1:1234", "10.0.0.1, 203.0.113.9", "203.0.113.9"},
		"another proxy":          {[]string{"192.0.2.7"}, "192.0.2.1:1234", "203.0.113.9", "192.0.2.1"},
		"a customer's IPv6":      {nil, "[2001:db8:1:2:3::4]:1234", "", "2001:db8:1:2::/64"},
		"IPv4 in IPv6":           {nil, "[::ffff:192.0.2.1]:1234", "", "192.0.2.1"},
		"IPv6 proxy":             {[]string{"2001:db8::1"}, "[2001:db8::1]:1", "203.0.113.9", "203.0.113.9"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := doorTest(t, func(cfg *configs.Config) { cfg.HTTP.TrustedProxies = c.trusted })
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.remote
			if c.forwarded != "" {
				r.Header.Set("X-Forwarded-For", c.forwarded)
			}
			if got := s.clientKey(&call{echo: s.echo.NewContext(r, nil)}); got != c.key {
				t.Errorf("%q, want %q", got, c.key)
			}
		})
	}
}

func TestLoginsAreCountedByFoldedName(t *testing.T) {
	s, _ := doorTest(t, func(c *configs.Config) { c.Limits.Login = configs.Rate{Requests: 3, Per: time.Minute} })
	r := httptest.NewRequest("POST", "/v1/sessions", nil)
	c := &call{echo: s.echo.NewContext(r, httptest.NewRecorder())}
	for i, name := range []string{"Ada", "ada", "ＡＤＡ"} {
		if err := s.limitLogin(c, name); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := s.limitLogin(c, "aDa"); fmt.Sprint(err) == "<nil>" {
		t.Error("another spelling of the name is another name")
	}
	if err := s.limitLogin(c, "grace"); err != nil {
		t.Error(err)
	}
}
