package social

import (
	"errors"
	"fmt"
)

// Code is what a client branches on; the list is part of the HTTP contract.
type Code string

// The codes. Each is documented under /docs/errors/{code}.
const (
	CodeNameTaken             Code = "name_taken"
	CodeNameInvalid           Code = "name_invalid"
	CodePasswordWeak          Code = "password_weak"
	CodeCredentialsInvalid    Code = "credentials_invalid"
	CodeTokenMissing          Code = "token_missing"
	CodeTokenInvalid          Code = "token_invalid"
	CodeTokenExpired          Code = "token_expired"
	CodeCursorInvalid         Code = "cursor_invalid"
	CodeNotFound              Code = "not_found"
	CodeBlocked               Code = "blocked"
	CodeNotAllowed            Code = "not_allowed"
	CodeLimitedAudience       Code = "limited_audience"
	CodeTooLong               Code = "too_long"
	CodeEmpty                 Code = "empty"
	CodeSelf                  Code = "self"
	CodeInvalid               Code = "invalid"
	CodeMalformed             Code = "malformed"
	CodeIdempotencyKeyReused  Code = "idempotency_key_reused"
	CodeIdempotencyInProgress Code = "idempotency_in_progress"
	CodeRateLimited           Code = "rate_limited"
	CodeArchiveUnavailable    Code = "archive_unavailable"
	CodeOverCapacity          Code = "over_capacity"
	CodeUnavailable           Code = "unavailable"
)

// Error is what a user may be told: a code for programs, a sentence for people, and the field at fault where there is one.
type Error struct {
	Code    Code
	Message string
	Pointer string // JSON pointer of the field at fault, such as /content; "" for none
}

func (e *Error) Error() string { return e.Message }

func errorf(code Code, pointer, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Pointer: pointer}
}

// CodeOf returns the code of a user's error, or "" for an internal one.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func notFound(what string) error { return errorf(CodeNotFound, "", "%s not found", what) }
