package server

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"

	"socialctl/social"
)

// net/http answers a request that it cannot even read by itself, in plain text and past every handler: a broken request
// line, %zz in a path, a header that is too large, a transfer coding that nobody knows. A client is promised a problem
// for every error, and these are written to the connection in one piece that begins in a way that none of our answers
// does; so the connection of the API puts the problem in their place.

// plainError is what follows the status line of such an answer.
const plainError = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// problemListener hands out connections that do so.
type problemListener struct{ net.Listener }

// Accept waits for the next connection.
func (l problemListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return problemConn{tcp}, nil
	}
	return c, err
}

type problemConn struct{ *net.TCPConn }

// Write passes on what handlers answer, and says as a problem what net/http answers by itself.
func (c problemConn) Write(b []byte) (int, error) {
	status, isPlain := plainStatus(b)
	if !isPlain {
		return c.TCPConn.Write(b)
	}
	if _, err := c.TCPConn.Write(unreadable(status)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func plainStatus(b []byte) (status string, isPlain bool) {
	const line = "HTTP/1.1 "
	if !bytes.HasPrefix(b, []byte(line)) {
		return "", false
	}
	end := bytes.IndexByte(b, '\r')
	if end < len(line)+3 || !bytes.HasPrefix(b[end:], []byte(plainError)) {
		return "", false
	}
	return string(b[len(line) : len(line)+3]), true
}

// unreadable is a whole answer. Whatever net/http calls it, but for a header that is too large, it is a request that
// cannot be read.
func unreadable(status string) []byte {
	code, detail := social.CodeMalformed, "The request is not one of HTTP/1.1 that the server can read."
	if status == "431" {
		code, detail = codeHeaderTooLarge, "The header is larger than the server reads."
	}
	c := &call{id: rand.Text()}
	out := c.problem(refusal{told: &social.Error{Code: code, Message: detail}})
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Length: %d\r\nContent-Type: %s\r\nX-Request-Id: %s\r\n\r\n%s",
		out.status, http.StatusText(out.status), len(out.body), problemType, c.id, out.body)
}
