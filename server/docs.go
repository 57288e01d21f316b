package server

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"socialctl/social"
)

// pages are the pages under /docs. They load nothing from elsewhere.
//
//go:embed docs
var pages embed.FS

var errorPages = template.Must(template.ParseFS(pages, "docs/errors.html"))

// pagePolicy lets the pages run their own script and speak to this server only.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// addDocs adds the OpenAPI document and the pages that show it; it comes after the routes.
func (s *Server) addDocs() error {
	doc := s.api.OpenAPI()
	finishSchemas(doc.Components.Schemas.Map())
	for _, path := range []string{"/v1/accounts", "/v1/messages", "/v1/accounts/relationships"} {
		for _, p := range doc.Paths[path].Get.Parameters {
			p.Required = p.Required || p.Name == "ids"
		}
	}
	var err error
	if s.openapi, err = json.Marshal(doc); err != nil {
		return err
	}
	s.echo.GET("/openapi.json", func(e echo.Context) error {
		return s.sendPage(e, echo.MIMEApplicationJSON, s.openapi)
	})
	for path, file := range map[string]struct{ name, mediaType string }{
		"/docs":          {"docs/index.html", echo.MIMETextHTMLCharsetUTF8},
		"/docs/docs.js":  {"docs/docs.js", "text/javascript; charset=utf-8"},
		"/docs/docs.css": {"docs/docs.css", "text/css; charset=utf-8"},
	} {
		content, err := pages.ReadFile(file.name)
		if err != nil {
			return err
		}
		s.echo.GET(path, func(e echo.Context) error { return s.sendPage(e, file.mediaType, content) })
	}
	s.echo.GET("/docs/errors", s.showErrors)
	s.echo.GET(errorDocs+":code", s.showErrors)
	return nil
}

// sendPage sends something that is the same for everybody and changes only with the program.
func (s *Server) sendPage(e echo.Context, mediaType string, content []byte) error {
	e.Response().Header().Set("Content-Security-Policy", pagePolicy)
	callOf(e.Request().Context()).send(reply{status: http.StatusOK, contentType: mediaType, body: content, tagged: true})
	return nil
}

// showErrors documents one problem type, or all of them.
func (s *Server) showErrors(e echo.Context) error {
	type entry struct {
		Code, Title, Meaning string
		Status               int
	}
	wanted := e.Param("code")
	var shown []entry
	for _, o := range outcomes {
		if wanted == "" || social.Code(wanted) == o.code {
			shown = append(shown, entry{string(o.code), o.title, o.meaning, o.status})
		}
	}
	if shown == nil {
		return refuse(social.CodeNotFound, "", "There is no such problem type.")
	}
	var page strings.Builder
	if err := errorPages.Execute(&page, shown); err != nil {
		return err
	}
	return s.sendPage(e, echo.MIMETextHTMLCharsetUTF8, []byte(page.String()))
}
