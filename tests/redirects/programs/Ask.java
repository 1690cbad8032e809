// One line "METHOD URL [BODY]" on stdin, one line with the status on stdout.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

class Ask {
  static final HttpClient CLIENT =
      HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();

  static int httpClient(String method, String url, String body) throws Exception {
    HttpRequest asked =
        HttpRequest.newBuilder(URI.create(url))
            .method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body))
            .build();
    return CLIENT.send(asked, BodyHandlers.discarding()).statusCode();
  }

  static int urlConnection(String method, String url, String body) throws Exception {
    HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
    connection.setRequestMethod(method);
    if (body != null) {
      connection.setDoOutput(true);
      connection.getOutputStream().write(body.getBytes());
    }
    return connection.getResponseCode();
  }

  public static void main(String[] given) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) {
      String[] words = line.split(" ");
      String body = words.length > 2 ? words[2] : null;
      try {
        System.out.println(
            given[0].equals("HttpClient")
                ? httpClient(words[0], words[1], body)
                : urlConnection(words[0], words[1], body));
      } catch (Exception error) {
        System.out.println("0 " + error);
      }
    }
  }
}
