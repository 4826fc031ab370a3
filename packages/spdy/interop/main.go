// A peer for the tests: the real moby/spdystream at the other end of the wire.
//
//	peer serve                           echoes every stream, prints its port
//	peer drive ADDR STREAMS BYTES SLOW   sends BYTES on each of STREAMS, checks the echo;
//	                                     SLOW: stream 0 is read only after the others are done
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/moby/spdystream"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
		return
	}
	streams, _ := strconv.Atoi(os.Args[3])
	size, _ := strconv.Atoi(os.Args[4])
	drive(os.Args[2], streams, size, os.Args[5] == "slow")
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		socket, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		connection, err := spdystream.NewConnection(socket, true)
		if err != nil {
			log.Fatal(err)
		}
		go connection.Serve(func(stream *spdystream.Stream) {
			if stream.Headers().Get("refuse") != "" {
				stream.Refuse()
				return
			}
			// Here, while the stream's frames wait: data that comes between the writing of the
			// reply and the library's note of it is thrown away.
			stream.SendReply(http.Header{"Port": stream.Headers().Values("port")}, false)
			// The handler holds up the worker that feeds the stream, so it must return.
			go func() {
				io.Copy(stream, stream)
				stream.Close()
			}()
		})
	}
}

func drive(address string, count, size int, slow bool) {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	connection, err := spdystream.NewConnection(socket, false)
	if err != nil {
		log.Fatal(err)
	}
	go connection.Serve(spdystream.NoOpStreamHandler)
	payload := make([]byte, size)
	rand.New(rand.NewSource(1)).Read(payload)
	var quick, all sync.WaitGroup
	for i := range count {
		stream, err := connection.CreateStream(http.Header{
			"Streamtype": {"data"}, "Port": {strconv.Itoa(i)},
		}, nil, false)
		if err != nil {
			log.Fatal(err)
		}
		if err := stream.WaitTimeout(10 * time.Second); err != nil {
			log.Fatalf("stream %d: %v", i, err)
		}
		all.Add(1)
		isSlow := slow && i == 0
		if !isSlow {
			quick.Add(1)
		}
		go func() {
			defer all.Done()
			go func() {
				if _, err := io.Copy(stream, bytes.NewReader(payload)); err != nil {
					log.Fatalf("stream %d: write: %v", i, err)
				}
				stream.Close()
			}()
			if isSlow {
				quick.Wait()
			} else {
				defer quick.Done()
			}
			echo, err := io.ReadAll(stream)
			if err != nil {
				log.Fatalf("stream %d: read: %v", i, err)
			}
			if sha256.Sum256(echo) != sha256.Sum256(payload) {
				log.Fatalf("stream %d: %d bytes came back of %d, or others", i, len(echo), size)
			}
		}()
	}
	if _, err := connection.Ping(); err != nil {
		log.Fatal(err)
	}
	all.Wait()
	if _, err := connection.Ping(); err != nil {
		log.Fatal(err)
	}
	connection.Close()
	fmt.Println("ok")
}
