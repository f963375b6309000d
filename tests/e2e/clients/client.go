// Go's own HTTP client, with its defaults: sends the requests of a list, and writes what was answered.
// go-client URL LIST. The list and the answers: see cases.py. `tools/go_tools.sh go-client` builds it.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	list, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	http.DefaultClient.Timeout = 10 * time.Second
	for _, line := range strings.Split(strings.TrimSuffix(string(list), "\n"), "\n") {
		fields := strings.Split(line, "\t")
		if err := ask(os.Args[1], fields[0], fields[1], fields[2], fields[3], fields[4]); err != nil {
			log.Fatal(err)
		}
	}
}

func ask(url, name, method, path, mode, file string) error {
	content, err := body(mode, file)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, url+path, content)
	if err != nil {
		return err
	}
	if mode != "none" {
		request.Header.Set("Content-Type", "application/json")
	}
	if mode == "gzip" {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	encoded := base64.StdEncoding.EncodeToString(answer)
	fmt.Printf("%s\t%d\t%s\t%s\n", name, response.StatusCode, response.Header.Get("Content-Type"), encoded)
	return nil
}

func body(mode, file string) (io.Reader, error) {
	if mode == "none" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	switch mode {
	case "chunked":
		// Of a reader of an unknown kind the client does not know the length.
		return io.MultiReader(bytes.NewReader(content)), nil
	case "gzip":
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		if _, err := writer.Write(content); err != nil {
			return nil, err
		}
		return &packed, writer.Close()
	default:
		return bytes.NewReader(content), nil
	}
}
