package doctor

import (
	"os/user"
	"strconv"
)

// userName returns the name of a user for people.
func userName(id int) string {
	text := strconv.Itoa(id)
	if u, err := user.LookupId(text); err == nil {
		return "the user " + u.Username
	}
	return "the user with the id " + text
}
