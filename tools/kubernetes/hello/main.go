// Says where it runs, by HTTP and by UDP, and asks others. Static, so that it is an image by itself; with a resolver of its own,
// which Debian's static busybox has not.
//
//	hello serve PORT         answers on the port, by both protocols
//	hello http HOST:PORT     prints the answer
//	hello udp HOST:PORT
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const patience = 5 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("use serve PORT, http HOST:PORT or udp HOST:PORT")
	}
	switch args[0] {
	case "serve":
		return serve(":" + args[1])
	case "http":
		return askHTTP(args[1])
	case "udp":
		return askUDP(args[1])
	}
	return fmt.Errorf("there is no %q", args[0])
}

func answer(peer string) string {
	name, _ := os.Hostname()
	return fmt.Sprintf("%s on %s to %s\n", name, os.Getenv("NODE"), peer)
}

func serve(address string) error {
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 2048)
		for {
			_, peer, err := packets.ReadFrom(buffer)
			if err != nil {
				continue
			}
			packets.WriteTo([]byte(answer(peer.String())), peer)
		}
	}()
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, answer(r.RemoteAddr))
	}))
}

func askHTTP(target string) error {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + target + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func askUDP(target string) error {
	connection, err := net.DialTimeout("udp", target, patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	if _, err := connection.Write([]byte("hello")); err != nil {
		return err
	}
	buffer := make([]byte, 2048)
	n, err := connection.Read(buffer)
	if err == nil {
		os.Stdout.Write(buffer[:n])
	}
	return err
}
