package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"socialctl/social"
)

// reply is an answer before it is sent: whole, so that its bytes can be kept, hashed and counted.
type reply struct {
	status      int
	contentType string // application/json when empty and there is a body
	body        []byte
	header      http.Header // what is particular to this answer
	tagged      bool        // whether it gets an ETag and may become a 304
	replayed    bool        // whether it was given before under its idempotency key
	code        social.Code // of a problem
	pooled      *[]byte     // what to give back to the pool once sent
}

func (r *reply) set(name, value string) {
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set(name, value)
}

// bodies holds buffers of bodies. One that has grown beyond keepBody is left to the collector.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

const keepBody = 256 << 10

// written is an answer whose body an append-style encoder writes into a pooled buffer.
func written(status int, write func([]byte) []byte) reply {
	buf := bodies.Get().(*[]byte)
	*buf = write((*buf)[:0])
	return reply{status: status, body: *buf, pooled: buf}
}

// jsonReply is an answer that encoding/json writes; the types given to it always can be written.
func jsonReply(status int, v any) reply {
	return written(status, func(b []byte) []byte {
		w := bytes.NewBuffer(b)
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			panic("encode an answer: " + err.Error())
		}
		return bytes.TrimSuffix(w.Bytes(), []byte("\n"))
	})
}

// send writes the answer; nothing may be done with it afterwards.
func (c *call) send(out reply) {
	w := c.echo.Response()
	h := w.Header()
	for name, values := range out.header {
		h[name] = values
	}
	private := c.tokenUsed || c.echo.Request().Method != http.MethodGet
	if private {
		h.Set("Cache-Control", "private, no-store")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if c.route != nil && c.route.token != tokenIgnored {
		h.Add("Vary", "Authorization")
	}
	if out.replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	if out.tagged && out.status == http.StatusOK {
		tag := entityTag(out.body)
		h.Set("ETag", tag)
		if matches(c.echo.Request().Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			c.release(out)
			return
		}
	}
	if len(out.body) == 0 {
		w.WriteHeader(out.status)
		return
	}
	if out.contentType == "" {
		out.contentType = echo.MIMEApplicationJSON
	}
	h.Set("Content-Type", out.contentType)
	h.Set("Content-Length", strconv.Itoa(len(out.body)))
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a client that has gone is no concern of ours
	c.release(out)
}

func (c *call) release(out reply) {
	if out.pooled != nil && cap(*out.pooled) <= keepBody {
		bodies.Put(out.pooled)
	}
}

// entityTag is a strong validator: 128 bits of SHA-256 of the body, the same on every server.
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// matches compares as If-None-Match demands: weakly, against a list or *.
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}
