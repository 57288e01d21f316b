package server

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"socialctl/social"
)

// maxDrain is how many bytes beyond the limit are read and thrown away, so that a client that writes its whole body
// before it reads gets to see the 413. Beyond that the connection is closed.
const maxDrain = 16 << 20

// readBody reads the whole body, so that what is too large, of the wrong type or not text is refused before anything
// is parsed, and leaves it for huma to read again.
func (s *Server) readBody(c *call) error {
	r := c.echo.Request()
	limit := s.cfg.HTTP.BodyLimit
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return refuse(codeRequestTimeout, "", "The body took too long to arrive.")
		}
		return refuse(social.CodeMalformed, "", "The body did not arrive whole.")
	}
	if int64(len(body)) > limit {
		if n, err := io.CopyN(io.Discard, r.Body, maxDrain); n == maxDrain && err == nil {
			c.echo.Response().Header().Set("Connection", "close")
		}
		return refuse(codeTooLarge, "", "The body is larger than "+strconv.FormatInt(limit, 10)+" bytes.")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) == 0 {
		return nil
	}
	if !isJSON(r.Header) {
		return refuse(codeMediaType, "", "Send the body as application/json in UTF-8, not compressed.")
	}
	if !utf8.Valid(body) {
		return refuse(social.CodeMalformed, "", "The body is not UTF-8.")
	}
	if hasLoneSurrogate(body) {
		return refuse(social.CodeMalformed, "", `The body has half of a \u surrogate pair, which is no character.`)
	}
	c.body = body
	return nil
}

// isJSON reports whether the headers describe plain JSON in UTF-8; a body without a type is taken for it.
func isJSON(h http.Header) bool {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return false
	}
	given := h.Get("Content-Type")
	if given == "" || given == "application/json" {
		return true
	}
	name, params, err := mime.ParseMediaType(given)
	if err != nil || name != "application/json" {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// hasLoneSurrogate reports whether a JSON text escapes half of a surrogate pair. Go's decoder would put U+FFFD in its
// place without a word, and what is given back would not be what was sent.
func hasLoneSurrogate(b []byte) bool {
	for i := 0; ; {
		at := bytes.IndexByte(b[i:], '\\')
		if at < 0 {
			return false
		}
		i += at
		unit, ok := escapedUnit(b[i:])
		switch {
		case !ok || unit < 0xd800 || unit > 0xdfff:
			i += 2
			if i > len(b) {
				return false
			}
			continue
		case unit >= 0xdc00:
			return true
		}
		low, ok := escapedUnit(b[i+6:])
		if !ok || low < 0xdc00 || low > 0xdfff {
			return true
		}
		i += 12
	}
}

// escapedUnit reads \uXXXX at the beginning of b.
func escapedUnit(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return n, err == nil
}
