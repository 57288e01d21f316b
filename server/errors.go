package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"socialctl/sharding"
	"socialctl/social"
)

// Codes of refusals that never reach the domain.
const (
	codeMethodNotAllowed social.Code = "method_not_allowed"
	codeNotAcceptable    social.Code = "not_acceptable"
	codeTooLarge         social.Code = "body_too_large"
	codeMediaType        social.Code = "unsupported_media_type"
	codeRequestTimeout   social.Code = "request_timeout"
	codeHeaderTooLarge   social.Code = "header_too_large"
	codeInternal         social.Code = "internal"
)

// outcome is what a code means over HTTP; meaning is what /docs/errors/{code} says.
type outcome struct {
	code    social.Code
	status  int
	title   string
	meaning string
}

// outcomes is the one table from code to status, in the order in which /docs/errors shows it.
var outcomes = []outcome{
	{social.CodeMalformed, 400, "The request cannot be read", "The body is not JSON or not UTF-8, or a parameter is not the number or time that it should be. Sending the same again gives the same answer."},
	{social.CodeCursorInvalid, 400, "The cursor is not one of this list", "A cursor is bound to its list, its account and its filters. Take it from an answer of the same list, whole, with the same filters; or start again without one."},
	{social.CodeTokenMissing, 401, "A token is needed", "Log in with POST /v1/sessions and send Authorization: Bearer TOKEN."},
	{social.CodeTokenInvalid, 401, "The token is not valid", "The Authorization header is not Bearer TOKEN, or the session was ended. Log in again."},
	{social.CodeTokenExpired, 401, "The token has expired", "The session was not used for too long. Log in again."},
	{social.CodeCredentialsInvalid, 401, "Name or password is wrong", "401 at a log-in; 403 where a password confirms a change of one's own account."},
	{social.CodeBlocked, 403, "A block stands between the two accounts", "One of the two has blocked the other, so they cannot follow each other."},
	{social.CodeNotAllowed, 403, "This is not allowed", "You can see it, and may not change it."},
	{social.CodeNotFound, 404, "Nothing is there", "It does not exist, no longer exists, or is not for you to see; these three are not told apart."},
	{codeMethodNotAllowed, 405, "The path does not know this method", "The Allow header names the methods that it knows."},
	{codeNotAcceptable, 406, "No acceptable form", "The API answers in application/json. Accept it, or leave the Accept header out."},
	{codeRequestTimeout, 408, "The request did not arrive in time", "The body took too long to arrive."},
	{social.CodeNameTaken, 409, "The name is taken", "Somebody has this name, or one that is equal to it once folded. If it is you, log in."},
	{social.CodeIdempotencyInProgress, 409, "The first request with this key has not ended", "Wait a moment and send the same request again."},
	{codeTooLarge, 413, "The body is too large", "GET /v1/instance says how large a body may be."},
	{codeMediaType, 415, "The body is of the wrong type", "Send application/json in UTF-8, not compressed."},
	{social.CodeInvalid, 422, "The request is not valid", "It could be read, and a part of it is wrong: errors names each part. Fields and parameters that the server does not know are wrong too."},
	{social.CodeNameInvalid, 422, "The name is not valid", "A name is 1 to 30 letters, digits or underscores of any script."},
	{social.CodePasswordWeak, 422, "The password is too weak", "A password is 8 to 256 bytes long."},
	{social.CodeTooLong, 422, "The text is too long", "GET /v1/instance says how long texts may be, in characters as a person counts them and in bytes."},
	{social.CodeEmpty, 422, "The text is empty", "White space alone is not a message."},
	{social.CodeSelf, 422, "This cannot be done to oneself", "One does not follow, block or mute oneself."},
	{social.CodeLimitedAudience, 422, "Messages for a limited audience are not reposted", "Only public messages are; comments are not either."},
	{social.CodeIdempotencyKeyReused, 422, "The idempotency key belongs to another request", "Within 24 hours a key may only be repeated with the same route and body."},
	{social.CodeRateLimited, 429, "Too many requests", "Wait for the seconds in Retry-After. RateLimit-Remaining says beforehand how many are left."},
	{codeHeaderTooLarge, 431, "The header is too large", "Send fewer or shorter header fields; a long list of ids can be asked for in parts."},
	{codeInternal, 500, "The server failed", "The fault is the server's and has been logged under the request id."},
	{social.CodeUnavailable, 503, "A part of the system is away", "Try again after the seconds in Retry-After; a request that creates with the same Idempotency-Key, so that it happens once."},
	{social.CodeArchiveUnavailable, 503, "The archive is away", "Recent pages work; older ones do again when the archive is back. The timeline does not end here."},
	{social.CodeOverCapacity, 503, "The server has too much to do", "Try again after the seconds in Retry-After."},
}

var outcomeOf = func() map[social.Code]outcome {
	all := make(map[social.Code]outcome, len(outcomes))
	for _, o := range outcomes {
		all[o.code] = o
	}
	return all
}()

// retryAfter is how long to wait before trying again, where the answer is a 503, or a 429 that does not say.
var retryAfter = map[social.Code]time.Duration{
	social.CodeUnavailable:        2 * time.Second,
	social.CodeArchiveUnavailable: 10 * time.Second,
	social.CodeOverCapacity:       3 * time.Second,
	social.CodeRateLimited:        time.Second,
}

// refusal is an error of the domain's kind together with what HTTP adds: more than one field at fault, a time to wait.
type refusal struct {
	told   *social.Error
	fields []FieldProblem
	retry  time.Duration
}

func (r *refusal) Error() string { return r.told.Message }
func (r *refusal) Unwrap() error { return r.told }

func refuse(code social.Code, pointer, detail string) error {
	return &social.Error{Code: code, Message: detail, Pointer: pointer}
}

// classify says what an error is to a client. An error that is not for clients is codeInternal and known is false.
func classify(err error) (r refusal, known bool) {
	var told *social.Error
	var full *refusal
	var away *sharding.UnavailableError
	var unknown *sharding.UnknownOutcomeError
	var epoch *sharding.EpochError
	var closed *sharding.NotOpenError
	unavailable := func(detail string, retry time.Duration) (refusal, bool) {
		return refusal{told: &social.Error{Code: social.CodeUnavailable, Message: detail}, retry: retry}, true
	}
	switch {
	case errors.As(err, &full):
		r = *full
	case errors.As(err, &told):
		r = refusal{told: told}
	case errors.As(err, &unknown):
		return unavailable("It is not known whether the change was stored. Look, or repeat it with the same Idempotency-Key.", 0)
	case errors.As(err, &epoch):
		return unavailable("A part of the data cannot be changed until an operator has looked at it.", time.Minute)
	case errors.As(err, &closed):
		return unavailable("A part of the data is being moved and cannot be changed for a moment.", time.Second)
	case errors.As(err, &away):
		return unavailable("A part of the data cannot be reached now.", 0)
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable("The answer took too long.", 0)
	case errors.Is(err, context.Canceled):
		return unavailable("The request was given up.", 0) // nobody is there to read it
	}
	if r.told != nil {
		if _, ok := outcomeOf[r.told.Code]; ok {
			return r, true
		}
	}
	return refusal{told: &social.Error{Code: codeInternal, Message: "The server failed to answer; the fault is logged under the request id."}}, false
}

// statusOf is the status of a code. A password that confirms something of the asker's own is refused with 403, because
// 401 would say that the token is bad.
func statusOf(code social.Code, v social.Viewer) int {
	if code == social.CodeCredentialsInvalid && v.Known() {
		return http.StatusForbidden
	}
	return outcomeOf[code].status
}

// fromHuma turns what huma found wrong with parameters and body into a refusal: what could not be parsed is malformed,
// what could be and is wrong is invalid. Values are not repeated: they may be passwords.
func fromHuma(status int, errs []error) error {
	code, message := social.CodeInvalid, "The request is not valid."
	if status == http.StatusBadRequest && len(errs) == 0 {
		return refuse(social.CodeMalformed, "", "A JSON body is needed.")
	}
	var fields []FieldProblem
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			continue
		}
		detail := d.ErrorDetail()
		if strings.HasPrefix(detail.Location, "path.") {
			return refuse(social.CodeNotFound, "", "Nothing is there.")
		}
		f := fieldOf(detail, status)
		if f.Code == string(social.CodeMalformed) {
			code, message = social.CodeMalformed, "The request cannot be read."
		}
		fields = append(fields, f)
	}
	if len(fields) == 1 {
		message = fields[0].Detail
		if p := fields[0].Pointer; p != "" {
			message = p + ": " + fields[0].Detail
		}
	}
	return &refusal{told: &social.Error{Code: code, Message: message}, fields: fields}
}

func fieldOf(d *huma.ErrorDetail, status int) FieldProblem {
	f := FieldProblem{Pointer: pointerOf(d.Location), Code: string(social.CodeInvalid), Detail: d.Message}
	switch {
	case d.Location == "body" && status == http.StatusBadRequest:
		f.Code, f.Detail = string(social.CodeMalformed), "the body is not JSON"
	case strings.HasPrefix(d.Message, "unexpected property"):
		f.Code, f.Detail = "unknown_field", "there is no such field"
	case strings.HasPrefix(d.Message, "unknown query parameter"):
		f.Code, f.Detail = "unknown_parameter", "there is no such parameter"
	case strings.HasPrefix(d.Message, "expected required property"):
		f.Code = "required"
		if _, name, ok := strings.Cut(d.Message, "expected required property "); ok {
			name = strings.TrimSuffix(name, " to be present")
			f.Pointer, f.Detail = f.Pointer+"/"+name, "the field is needed"
		}
	case strings.HasPrefix(d.Message, "invalid "):
		// huma's words for what it could not parse. A number beyond 64 bits is a number, and out of range.
		if v, ok := d.Value.(string); !ok || !isDigits(v) {
			f.Code = string(social.CodeMalformed)
		}
		if strings.HasPrefix(d.Message, "invalid date/time") {
			f.Detail = "not an RFC 3339 time"
		}
	}
	return f
}

// pointerOf makes a JSON pointer of huma's path. Bodies are flat, so what follows the first dot is one name, dots
// and all, but for the index into an array of strings.
func pointerOf(location string) string {
	_, name, ok := strings.Cut(location, ".")
	if !ok {
		return ""
	}
	index := ""
	if base, rest, ok := strings.Cut(name, "["); ok && isDigits(strings.TrimSuffix(rest, "]")) {
		name, index = base, "/"+strings.TrimSuffix(rest, "]")
	}
	name = strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	return "/" + name + index
}

func isDigits(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// sentence gives a message the capital and the full stop of one.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
