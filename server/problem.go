package server

import (
	"context"
	"net/http"

	"socialctl/social"
)

// problemType is the media type of every error (RFC 9457).
const problemType = "application/problem+json"

// errorDocs is where a problem's type is documented.
const errorDocs = "/docs/errors/"

// Problem is the body of every answer that is not a success.
type Problem struct {
	Type      string         `json:"type" format:"uri-reference" doc:"Stable path of the page that documents the code."`
	Title     string         `json:"title" doc:"What the code means; the same each time."`
	Status    int            `json:"status" doc:"The HTTP status."`
	Detail    string         `json:"detail" doc:"What went wrong this time, for people."`
	Code      string         `json:"code" doc:"What went wrong, for programs."`
	RequestID string         `json:"request_id" doc:"The X-Request-Id under which the server logs."`
	Errors    []FieldProblem `json:"errors" doc:"Each field at fault; empty where it is none in particular."`
}

// FieldProblem names one field at fault.
type FieldProblem struct {
	Pointer string `json:"pointer" doc:"JSON pointer of the field in the body, or / and the name of the parameter."`
	Code    string `json:"code" doc:"What is wrong with it, for programs."`
	Detail  string `json:"detail" doc:"What is wrong with it, for people."`
}

// Error makes a problem one of huma's errors.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType tells huma what the OpenAPI document is to say of errors.
func (p *Problem) ContentType(string) string { return problemType }

// problem is the answer that an error becomes. One that is not for clients is logged here and nowhere else.
func (s *Server) problem(ctx context.Context, c *call, err error) reply {
	r, known := classify(err)
	if !known && ctx.Err() != nil {
		// A driver that was interrupted has words of its own for it.
		r, known = classify(ctx.Err())
	}
	if !known {
		s.log.ErrorContext(ctx, "request failed", "request_id", c.id, "route", c.routeName(), "error", err)
	}
	return c.problem(r)
}

// problem writes a refusal as the call's answer.
func (c *call) problem(r refusal) reply {
	o := outcomeOf[r.told.Code]
	p := Problem{
		Type: errorDocs + string(r.told.Code), Title: o.title, Status: statusOf(r.told.Code, c.viewer),
		Detail: sentence(r.told.Message), Code: string(r.told.Code), RequestID: c.id, Errors: r.fields,
	}
	if p.Errors == nil {
		p.Errors = []FieldProblem{}
		if r.told.Pointer != "" {
			p.Errors = append(p.Errors, FieldProblem{Pointer: r.told.Pointer, Code: p.Code, Detail: r.told.Message})
		}
	}
	out := jsonReply(p.Status, p)
	out.contentType, out.code = problemType, r.told.Code
	wait := r.retry
	if wait == 0 {
		wait = retryAfter[r.told.Code]
	}
	if wait > 0 {
		out.set("Retry-After", seconds(wait))
	}
	if p.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="socialctl"`
		if r.told.Code == social.CodeTokenInvalid || r.told.Code == social.CodeTokenExpired {
			challenge += `, error="invalid_token"`
		}
		out.set("WWW-Authenticate", challenge)
	}
	return out
}
