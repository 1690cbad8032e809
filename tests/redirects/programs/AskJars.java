// One line "METHOD URL [BODY]" on stdin, one line with the status on stdout.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.RequestBuilder;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;

class AskJars {
  static final OkHttpClient OKHTTP = new OkHttpClient();
  static final CloseableHttpClient APACHE4 = HttpClients.createDefault();
  static final org.apache.hc.client5.http.impl.classic.CloseableHttpClient APACHE5 =
      org.apache.hc.client5.http.impl.classic.HttpClients.createDefault();

  static int okhttp(String method, String url, String body) throws Exception {
    RequestBody sent = body == null ? null : RequestBody.create(null, body);
    Request asked = new Request.Builder().url(url).method(method, sent).build();
    try (Response answer = OKHTTP.newCall(asked).execute()) {
      return answer.code();
    }
  }

  static int apache4(String method, String url, String body) throws Exception {
    RequestBuilder asked = RequestBuilder.create(method).setUri(url);
    if (body != null) {
      asked.setEntity(new org.apache.http.entity.StringEntity(body));
    }
    try (CloseableHttpResponse answer = APACHE4.execute(asked.build())) {
      return answer.getStatusLine().getStatusCode();
    }
  }

  static int apache5(String method, String url, String body) throws Exception {
    var asked =
        org.apache.hc.core5.http.io.support.ClassicRequestBuilder.create(method).setUri(url);
    if (body != null) {
      asked.setEntity(new org.apache.hc.core5.http.io.entity.StringEntity(body));
    }
    return APACHE5.execute(asked.build(), answer -> answer.getCode());
  }

  public static void main(String[] given) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) {
      String[] words = line.split(" ");
      String body = words.length > 2 ? words[2] : null;
      try {
        System.out.println(
            switch (given[0]) {
              case "okhttp" -> okhttp(words[0], words[1], body);
              case "apache4" -> apache4(words[0], words[1], body);
              default -> apache5(words[0], words[1], body);
            });
      } catch (Exception error) {
        System.out.println("0 " + error.toString().lines().findFirst().get());
      }
    }
  }
}
