package server

import (
	"context"
	"strconv"
	"unicode/utf8"

	"socialctl/social"
)

// authenticate finds out who asks. Where a token may be given, a bad one is refused and never silently nobody.
func (s *Server) authenticate(ctx context.Context, c *call) error {
	if c.route.token == tokenIgnored {
		return nil
	}
	token, given, err := authorization(c.echo.Request().Header)
	c.tokenUsed = given
	if err == nil && !given {
		if c.route.token == tokenRequired {
			err = refuse(social.CodeTokenMissing, "", "Log in and send Authorization: Bearer TOKEN.")
		} else {
			return nil
		}
	}
	if err == nil {
		if !utf8.ValidString(token) {
			err = refuse(social.CodeTokenInvalid, "", "The token is not valid.")
		} else {
			err = s.identify(ctx, c, token)
		}
	}
	if err != nil {
		// Guesses cost their address what a read costs, so that they are not free.
		if limited := s.limits.take(c, classRead, s.clientKey(c), s.now()); limited != nil {
			return limited
		}
	}
	return err
}

// identify finds out whose the token is, and prefetches what the route will need of theirs.
func (s *Server) identify(ctx context.Context, c *call, token string) (err error) {
	if !c.route.has(home) {
		c.viewer, err = s.b.Sessions.Authenticate(ctx, token)
		return err
	}
	limit, _ := strconv.Atoi(c.query.Get("limit")) // a guess: it is checked when the token has been
	top := !c.query.Has("cursor") && !c.query.Has("before")
	c.viewer, c.prefetched, err = s.b.Sessions.AuthenticateReader(ctx, token, top, max(limit, 0))
	return err
}

// errNeedsToken is for what only somebody with an account can ask on a route that others may use, such as "me".
var errNeedsToken = refuse(social.CodeTokenMissing, "", "Only somebody who is logged in can ask this.")

// accountOf turns the {account} of a path into an id: a number, @name, or me.
func (s *Server) accountOf(ctx context.Context, c *call, ref string) (social.UserID, error) {
	if ref == "me" && !c.viewer.Known() {
		return 0, errNeedsToken
	}
	return s.b.Accounts.Resolve(ctx, c.viewer, ref)
}
