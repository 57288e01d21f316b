package server

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"socialctl/social"
)

const schemaPrefix = "#/components/schemas/"

// adaptHuma sets what huma keeps in variables of its package, once for the process: its errors become ours, arrays are
// never null, and a field's case matters.
var adaptHuma = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, message string, _ ...error) huma.StatusError {
		return &Problem{Status: status, Detail: message}
	}
	huma.NewErrorWithContext = func(hc huma.Context, status int, message string, errs ...error) huma.StatusError {
		ctx := hc.Context()
		c := callOf(ctx)
		c.out = c.server.problem(ctx, c, fromHuma(status, errs))
		return &Problem{Status: status, Detail: message}
	}
})

func humaConfig(version string) huma.Config {
	registry := huma.NewMapRegistry(schemaPrefix, schemaName)
	registry.RegisterTypeAlias(reflect.TypeFor[social.UserID](), reflect.TypeFor[idSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[social.MessageID](), reflect.TypeFor[idSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[social.Millis](), reflect.TypeFor[timeSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[social.Kind](), reflect.TypeFor[kindSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[social.Visibility](), reflect.TypeFor[visibilitySchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[social.Embed](), reflect.TypeFor[embedSchema]())
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "socialctl", Version: version,
				Description: "People who follow people: accounts, messages, comments, reposts and the home timeline. Ids and cursors are opaque; times are RFC 3339 in UTC with milliseconds."},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "The token of a log-in or sign-up."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": strictJSON, "json": strictJSON},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}

// strictJSON is encoding/json, but for a field that is given as null: huma takes that for one that is not given, and a
// client that wants to clear something would be told that it did. It becomes a value of no type, which is refused.
var strictJSON = huma.Format{
	Marshal: huma.DefaultJSONFormat.Marshal,
	Unmarshal: func(data []byte, v any) error {
		err := json.Unmarshal(data, v)
		if parsed, ok := v.(*any); ok {
			if fields, ok := (*parsed).(map[string]any); ok {
				for name, value := range fields {
					if value == nil {
						fields[name] = struct{}{}
					}
				}
			}
		}
		return err
	},
}

// schemaName names generic types in the order of English: AccountPage, SessionList.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for prefix, suffix := range map[string]string{"Page": "Page", "Items": "List"} {
		if of, ok := strings.CutPrefix(name, prefix); ok && of != "" {
			return of + suffix
		}
	}
	return name
}

// Schemas of types that write themselves as text or, like an embed, in several shapes.
type (
	idSchema         struct{}
	timeSchema       struct{}
	kindSchema       struct{}
	visibilitySchema struct{}
	embedSchema      struct{}
	commentList      struct{}
)

func (idSchema) Schema(huma.Registry) *huma.Schema {
	longest := 64
	return &huma.Schema{Type: huma.TypeString, MaxLength: &longest, Description: "Opaque."}
}

func (timeSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

func (kindSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{"original", "comment", "repost"}}
}

func (visibilitySchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{"public", "followers", "mutuals", "labels", "private"}}
}

func (embedSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{ref("EmbeddedMessage"), ref("DeletedMessage"), ref("UnavailableMessage")}}
}

func (commentList) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{
		r.Schema(reflect.TypeFor[social.Page[*social.Message]](), true, ""),
		r.Schema(reflect.TypeFor[social.CommentPage](), true, ""),
	}}
}

func ref(name string) *huma.Schema { return &huma.Schema{Ref: schemaPrefix + name} }

// finishSchemas adds what reflection cannot know: the shapes of embeds, what may be null, and that answers may grow.
func finishSchemas(schemas map[string]*huma.Schema) {
	message := schemas["Message"]
	delete(schemas, "MessageActivityStruct")
	message.Properties["activity"] = &huma.Schema{Type: huma.TypeObject, Nullable: true, Description: "None exist yet."}

	embedded := *message
	embedded.Properties = maps.Clone(message.Properties)
	delete(embedded.Properties, "parent")
	delete(embedded.Properties, "origin")
	embedded.Required = slices.DeleteFunc(slices.Clone(message.Required), func(name string) bool { return name == "parent" || name == "origin" })
	embedded.Description = "A message inside another, without what it embeds itself."
	schemas["EmbeddedMessage"] = &embedded
	schemas["DeletedMessage"] = marker("deleted", "A message that is no more.")
	schemas["UnavailableMessage"] = marker("unavailable", "A message that is not for the reader, or never was.")

	for _, name := range []string{"parent", "origin"} {
		either := embedSchema{}.Schema(nil)
		either.AnyOf = append(either.AnyOf, &huma.Schema{Type: "null"})
		message.Properties[name] = either
	}
	// Within /v1 changes only add: a client must not refuse what it does not know. Requests are strict.
	for name, schema := range schemas {
		if !strings.HasSuffix(name, "Request") && schema.AdditionalProperties == false {
			schema.AdditionalProperties = nil
		}
	}
}

func marker(name, description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Description: description, Required: []string{"id", name},
		Properties: map[string]*huma.Schema{
			"id": idSchema{}.Schema(nil),
			name: {Type: huma.TypeBoolean, Enum: []any{true}},
		}}
}

// operation is what the OpenAPI document says of a route.
func (s *Server) operation(r *route) huma.Operation {
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, Tags: []string{tagOf(r.path)},
		DefaultStatus: r.status, MaxBodyBytes: -1, BodyReadTimeout: -1, // readBody has done both
		Responses: map[string]*huma.Response{},
	}
	switch r.token {
	case tokenRequired:
		op.Security = []map[string][]string{{"bearer": {}}}
	case tokenOptional:
		op.Security = []map[string][]string{{"bearer": {}}, {}}
	}
	success := func(status int, description string) {
		answer := &huma.Response{Description: description, Headers: map[string]*huma.Param{}}
		if r.answer != nil {
			schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(r.answer), true, "")
			answer.Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
		}
		if name := reflect.TypeOf(r.answer); name != nil && strings.HasPrefix(name.Name(), "Page[") {
			answer.Headers["Link"] = textHeader("The pages next below and above, as next and prev.")
		}
		if r.has(etagged) {
			answer.Headers["ETag"] = textHeader("Send it as If-None-Match to be answered 304 while nothing has changed. A list has it at its top.")
		}
		if r.has(keyed) {
			answer.Headers["Idempotent-Replayed"] = textHeader("true on an answer that was given before under the key.")
		}
		op.Responses[strconv.Itoa(status)] = answer
	}
	success(r.status, "Done")
	if r.has(may202) {
		success(202, "Stored; the other person's part follows by itself")
	}
	if r.has(may200) {
		success(200, "There was one already")
	}
	if r.has(etagged) {
		op.Responses["304"] = &huma.Response{Description: "Not changed"}
	}
	if r.has(keyed) {
		longest, shortest := 255, 1
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Description: "The same key, route and body give the same answer for 24 hours.",
			Schema: &huma.Schema{Type: huma.TypeString, MinLength: &shortest, MaxLength: &longest, Pattern: "^[ -~]+$"},
		})
	}
	problem := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	for _, status := range problemsOf(r) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: titleOf(status),
			Content: map[string]*huma.MediaType{problemType: {Schema: problem}}}
	}
	return op
}

// problemsOf lists the statuses of the problems that a route can answer with.
func problemsOf(r *route) []int {
	all := []int{400, 406, 422, 500, 503}
	if strings.Contains(r.path, "{") {
		all = append(all, 404)
	}
	if r.token != tokenIgnored || r.class == classLogin {
		all = append(all, 401)
	}
	if !r.has(unlimited) {
		all = append(all, 429)
	}
	if r.method != "GET" && (r.token == tokenRequired) {
		all = append(all, 403)
	}
	if r.has(keyed) || r.class == classSignup {
		all = append(all, 409)
	}
	if r.method == "POST" || r.method == "PATCH" || r.id == "deleteAccount" {
		all = append(all, 408, 413, 415)
	}
	return all
}

func titleOf(status int) string {
	switch status {
	case 400:
		return "Cannot be read"
	case 401:
		return "No valid token"
	case 403:
		return "Not allowed"
	case 409:
		return "In conflict with what is there"
	case 422:
		return "Read, and wrong"
	}
	for _, o := range outcomes {
		if o.status == status {
			return o.title
		}
	}
	return strconv.Itoa(status)
}

func textHeader(description string) *huma.Param {
	return &huma.Param{Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
}

// tagOf groups operations by what their path begins with.
func tagOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/v1"), "/")
	if !strings.HasPrefix(path, "/v1") {
		return "health"
	}
	if parts[1] == "accounts" && len(parts) > 3 && parts[len(parts)-1] != "messages" || parts[len(parts)-1] == "relationships" {
		return "relations"
	}
	if strings.HasSuffix(path, "/messages") && parts[1] == "accounts" {
		return "timelines"
	}
	return parts[1]
}
