package delivery

import (
	"io"
	"net/http"
)

// ReadAnswer reads the beginning of an answer. It returns its first lines, and reports
// whether it is an HTML page.
func ReadAnswer(response *http.Response) (lines []string, page bool) {
	answer, _ := io.ReadAll(io.LimitReader(response.Body, readOfAnswer)) // what came is shown
	return firstLines(answer), isPage(answer)
}
