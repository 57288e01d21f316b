package server

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"socialctl/configs"
	"socialctl/social"
)

// class groups requests that are limited together; the settings limits.* say how much.
type class int

const (
	classRead class = iota
	classWrite
	classSignup
	classLogin
	classes
)

// limits are the rate limits of this process, one for each class; nil when they are switched off.
type limits []*limiter

func newLimits(cfg configs.Limits) limits {
	if !cfg.Enabled {
		return nil
	}
	all := make(limits, classes)
	for c, rate := range map[class]configs.Rate{
		classRead: cfg.Read, classWrite: cfg.Write, classSignup: cfg.Signup, classLogin: cfg.Login,
	} {
		all[c] = newLimiter(rate)
	}
	return all
}

// take counts one request and puts the state of the limit into the answer's headers.
func (l limits) take(c *call, of class, key string, now time.Time) error {
	if l == nil {
		return nil
	}
	d := l[of].take(key, now)
	h := c.echo.Response().Header()
	h.Set("RateLimit-Limit", strconv.Itoa(l[of].rate.Requests))
	h.Set("RateLimit-Remaining", strconv.Itoa(d.remaining))
	h.Set("RateLimit-Reset", seconds(d.reset))
	if d.allowed {
		return nil
	}
	return &refusal{
		told:  &social.Error{Code: social.CodeRateLimited, Message: "Too many requests; the next is welcome in " + seconds(d.retry) + " s."},
		retry: d.retry,
	}
}

// limit counts the call against its route's class: by account, or by address where nobody is logged in.
func (s *Server) limit(c *call) error {
	if c.route.has(unlimited) || s.limits == nil {
		return nil
	}
	key, of := s.clientKey(c), c.route.class
	if c.viewer.Known() {
		key = "account " + c.viewer.UserID.String()
	}
	if of == classLogin {
		of = classWrite // the name is not known yet: limitLogin counts when it is
	}
	return s.limits.take(c, of, key, s.now())
}

// limitLogin counts log-ins by address and name together, so that guessing is slow and nobody can lock another person
// out. Names are folded, or each spelling would be another name.
func (s *Server) limitLogin(c *call, name string) error {
	folded := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
	if len(folded) > 256 {
		folded = folded[:256]
	}
	return s.limits.take(c, classLogin, s.clientKey(c)+" "+folded, s.now())
}

// clientKey is the client's address; of IPv6 the /64, since a single customer has at least that.
func (s *Server) clientKey(c *call) string {
	text := s.address(c.echo.Request())
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return text
	}
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// limiter is the generic cell rate algorithm: for each key the one instant at which all that was taken is given back,
// so that a whole allowance may come at once and then flows in evenly.
type limiter struct {
	rate  configs.Rate
	every time.Duration // that one request takes to be given back

	mu    sync.Mutex
	full  map[string]time.Time // when the key has its whole allowance again
	sweep int                  // size at which to look for keys that have it already
}

type decision struct {
	allowed   bool
	remaining int
	reset     time.Duration // until the whole allowance is there again
	retry     time.Duration // until the next request is, when this one is refused
}

const firstSweep = 4096

func newLimiter(rate configs.Rate) *limiter {
	// A rate beyond one a nanosecond is no limit, and must not be a division by nothing.
	every := max(rate.Per/time.Duration(max(rate.Requests, 1)), 1)
	return &limiter{rate: rate, every: every, full: map[string]time.Time{}, sweep: firstSweep}
}

func (l *limiter) take(key string, now time.Time) decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	full, ok := l.full[key]
	if !ok || full.Before(now) {
		full = now
	}
	// The allowance is counted in whole requests: rounding of every must not cost the last one.
	allowance := l.every * time.Duration(l.rate.Requests)
	used := full.Sub(now)
	if used+l.every > allowance {
		return decision{reset: used, retry: used + l.every - allowance}
	}
	used += l.every
	l.full[key] = now.Add(used)
	if len(l.full) >= l.sweep {
		l.forget(now)
	}
	return decision{allowed: true, remaining: int((allowance - used) / l.every), reset: used}
}

// forget drops keys that have their whole allowance: they are like keys never seen.
func (l *limiter) forget(now time.Time) {
	for key, full := range l.full {
		if !full.After(now) {
			delete(l.full, key)
		}
	}
	l.sweep = max(firstSweep, 2*len(l.full))
}
