package signature_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// A server that holds the whole body in memory calls Verify.
func ExampleVerifier_Verify() {
	secret := []byte("wsec_demo")
	v, err := signature.NewVerifier([][]byte{secret}, 30*time.Minute, 5*time.Minute, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	body := []byte(`{"type":"voice_removed"}`)
	values := []string{signature.Sign(secret, time.Now(), body)} // r.Header.Values(signature.HeaderName)
	match, err := v.Verify(values, body)
	fmt.Println(match.Secret, err)

	_, err = v.Verify(values, []byte(`{"type":"forged"}`))
	fmt.Println(errors.Is(err, signature.ErrMismatch), err)
	// Output:
	// 0 <nil>
	// true the signature does not match
}

// A server that reads the body in pieces calls Parse, Begin and Result.
func ExampleVerifier_Begin() {
	secret := []byte("wsec_demo")
	v, err := signature.NewVerifier([][]byte{secret}, 30*time.Minute, 5*time.Minute, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	body := []byte(`{"type":"post_call_audio"}`)
	header, err := signature.Parse([]string{signature.Sign(secret, time.Now(), body)})
	if err != nil {
		fmt.Println(err)
		return
	}
	check := v.Begin(header)
	defer check.Discard()
	if _, err := io.Copy(check, bytes.NewReader(body)); err != nil { // r.Body
		fmt.Println(err)
		return
	}
	_, err = check.Result()
	fmt.Println(err)
	// Output: <nil>
}
