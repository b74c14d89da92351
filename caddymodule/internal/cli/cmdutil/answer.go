package cmdutil

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// CheckAnswer returns an AdminError if an answer is not of a media type. The admin
// endpoint and the inspector send their errors in JSON. For any other answer, unlike says
// what the server seems to be, and what to do.
func CheckAnswer(response *http.Response, mediaType string, unlike func(answer string) string) error {
	got, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if response.StatusCode == http.StatusOK && got == mediaType {
		return nil
	}
	var answer struct {
		Error string `json:"error"`
	}
	if response.StatusCode >= 400 && got == "application/json" &&
		json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&answer) == nil && answer.Error != "" {
		return &AdminError{
			Status:  response.StatusCode,
			Message: fmt.Sprintf("it answered %d: %s", response.StatusCode, Brief(answer.Error, Longest)),
		}
	}
	status := response.Status
	if got != "" {
		status += " with " + Brief(got, Longest)
	}
	return &AdminError{Status: response.StatusCode, Message: unlike(status)}
}
