package server

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"socialctl/social"
)

// YardstickHandler serves the raw limit of a page over HTTP: GET /page?n=N answers with the stored messages of made
// timeline N, spliced without decoding. It is what `socialctl bench` divides by.
func YardstickHandler(y *social.Yardstick) http.Handler {
	e := echo.New()
	e.GET("/page", func(c echo.Context) error {
		n, err := strconv.Atoi(c.QueryParam("n"))
		if err != nil {
			return echo.ErrBadRequest
		}
		bodies, err := y.Page(c.Request().Context(), n)
		if err != nil {
			return err
		}
		out := make([]byte, 0, 16<<10)
		out = append(out, `{"items":[`...)
		for i, body := range bodies {
			if i > 0 {
				out = append(out, ',')
			}
			text, _ := body.(string)
			out = append(out, text...)
		}
		out = append(out, `]}`...)
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, out)
	})
	return e
}
