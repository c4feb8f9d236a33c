// Books a video with a client whose types are generated: node book.js URL STAFF_TOKEN CUSTOMER_TOKEN
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

const [url, staff, customer] = process.argv.slice(2);

function client(token: string | undefined) {
  return createClient<paths>({ baseUrl: url ?? "", headers: { Authorization: `Bearer ${token}` } });
}

const registered = await client(staff).POST("/v1/video-rental/videos", {
  body: { title: "Casablanca", daily_price: 1500, copies: 1 },
});
if (registered.error !== undefined) throw new Error(registered.error.code);

const body: components["schemas"]["Booking"] = {
  video_id: registered.data.video_id,
  days: 2,
  payment: { method: "card", token: "tok_visa", last4: "4242", brand: "visa" },
};

async function book(key: string) {
  return client(customer).POST("/v1/video-rental/rentals", { params: { header: { "Idempotency-Key": key } }, body });
}

let booked = await book("typescript-1");
for (let tries = 0; booked.error?.code === "not_found" && tries < 50; tries += 1) {
  // rentals hears of a new video a moment later
  await new Promise<void>((resolve) => setTimeout(resolve, 100));
  booked = await book(`typescript-${tries + 2}`);
}
if (booked.error !== undefined) throw new Error(booked.error.code);
const again = await client(customer).POST("/v1/video-rental/rentals", { body });
const shown = await client(customer).GET("/v1/video-rental/rentals/{rental_id}", {
  params: { path: { rental_id: booked.data.rental_id } },
});

const printed = {
  location: booked.response.headers.get("location"),
  rental_id: booked.data.rental_id,
  price: booked.data.price,
  status: shown.data?.status,
  refused: again.error?.code,
};
console.log(JSON.stringify(printed));
