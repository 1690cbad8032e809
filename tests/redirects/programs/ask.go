// One line "METHOD URL [BODY]" on stdin, one line with the status on stdout.
package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
)

func ask(method, url, body string) (int, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	return answer.StatusCode, nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := append(strings.Split(lines.Text(), " "), "")
		status, err := ask(words[0], words[1], words[2])
		if err != nil {
			fmt.Println(0, err)
			continue
		}
		fmt.Println(status)
	}
}
